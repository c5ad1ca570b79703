"""Sends a trace over two services, metrics and logs with the Python SDK: `otlp_python.py BASE_URL`.

Four times: protobuf and JSON, each plain and with gzip, under service names of their own. Prints what a platform
must know afterwards, a JSON object a line, for `read_back.py`. Where to send, the exporters themselves learn from
OTEL_EXPORTER_OTLP_ENDPOINT, as in any instrumented program.
"""

import json
import logging
import math
import os
import sys
import uuid

os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", sys.argv[1])

from opentelemetry import propagate  # noqa: E402
from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: E402
from opentelemetry.exporter.otlp.json.http import _log_exporter as json_logs  # noqa: E402
from opentelemetry.exporter.otlp.json.http import metric_exporter as json_metrics  # noqa: E402
from opentelemetry.exporter.otlp.json.http import trace_exporter as json_traces  # noqa: E402
from opentelemetry.exporter.otlp.proto.http import _log_exporter as proto_logs  # noqa: E402
from opentelemetry.exporter.otlp.proto.http import metric_exporter as proto_metrics  # noqa: E402
from opentelemetry.exporter.otlp.proto.http import trace_exporter as proto_traces  # noqa: E402
from opentelemetry.sdk._logs import LoggerProvider  # noqa: E402
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: E402
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: E402
from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: E402

EXPORTERS = {"protobuf": (proto_traces, proto_metrics, proto_logs), "json": (json_traces, json_metrics, json_logs)}
NAMESPACE = "clients"


def main() -> None:
    complaints = _Complaints()
    logging.getLogger("opentelemetry").addHandler(complaints)
    run = uuid.uuid4().hex[:8]
    for encoding in EXPORTERS:
        for compression in ("none", "gzip"):
            # The variable that a user would set. The exporters take it when they are made.
            os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = compression
            name = f"py-{encoding}-{compression}-{run}"
            front, back = Providers(f"{name}-front", encoding), Providers(f"{name}-back", encoding)
            expectation = send(name, front, back)
            for providers in (front, back):
                providers.shut_down()
            print(json.dumps(expectation), flush=True)
    if complaints.texts:
        sys.exit(f"the SDK complained {len(complaints.texts)} times, first:\n" + "\n".join(complaints.texts[:3]))


class Providers:
    def __init__(self, service: str, encoding: str):
        traces, metrics, logs = EXPORTERS[encoding]
        self.service = service
        resource = Resource.create(
            {"service.namespace": NAMESPACE, "service.name": service, "deployment.environment.name": "test"}
        )
        self.tracers = TracerProvider(resource=resource)
        self.tracers.add_span_processor(BatchSpanProcessor(traces.OTLPSpanExporter()))
        reader = PeriodicExportingMetricReader(metrics.OTLPMetricExporter(), export_interval_millis=math.inf)
        exponential = View(instrument_name="client.exponential", aggregation=ExponentialBucketHistogramAggregation())
        self.meters = MeterProvider(resource=resource, metric_readers=[reader], views=[exponential])
        self.loggers = LoggerProvider(resource=resource)
        self.loggers.add_log_record_processor(BatchLogRecordProcessor(logs.OTLPLogExporter()))
        self.tracer = self.tracers.get_tracer("tests.clients", "1.0.0")

    def log(self, severity: SeverityNumber, body: str) -> None:
        record = LogRecord(
            severity_number=severity, severity_text=severity.name, body=body, attributes={"client": "python"}
        )
        self.loggers.get_logger("tests.clients").emit(record)

    def shut_down(self) -> None:
        """Exports what is left, as at the end of any process."""
        self.tracers.shutdown()
        self.meters.force_flush()  # a reader without an interval does not export at its end
        self.meters.shutdown()
        self.loggers.shutdown()


def send(name: str, front: Providers, back: Providers) -> dict:
    trace_id = _trace(front, back)
    front.log(SeverityNumber.INFO, "a log of no trace")
    _metrics(front)
    return {
        "about": f"Python SDK, {name}",
        "trace": {
            "traceId": trace_id,
            "status": "error",
            "completeness": "complete",
            "projectId": NAMESPACE,
            "environment": "test",
            "services": sorted([front.service, back.service]),
            "rootSpanName": "GET /basket",
            "spans": {"GET /basket": "error", "GET": "unset", "GET /price": "ok", "compute": "error"},
        },
        "logs": [["info", "a basket is asked for"], ["error", "the price could not be computed"]],
        "metrics": [
            metric(front.service, "client.counter", "counter", "{thing}", "sum", 6),
            metric(front.service, "client.gauge", "gauge", "{thing}", "last", 42.5),
            metric(front.service, "client.histogram", "histogram", "s", "count", 4),
            metric(front.service, "client.histogram", "histogram", "s", "sum", 3.85),
            metric(front.service, "client.exponential", "exponential_histogram", "s", "count", 5),
            metric(front.service, "client.exponential", "exponential_histogram", "s", "sum", 31),
        ],
    }


def metric(service: str, name: str, kind: str, unit: str, aggregation: str, value: float) -> dict:
    matchers = [{"label": "moduleId", "op": "=", "value": service}]
    return {
        "metricName": name,
        "matchers": matchers,
        "kind": kind,
        "unit": unit,
        "aggregation": aggregation,
        "value": value,
    }


def _trace(front: Providers, back: Providers) -> str:
    headers: dict[str, str] = {}
    with front.tracer.start_as_current_span(
        "GET /basket", kind=SpanKind.SERVER, attributes={"http.route": "/basket"}
    ) as root:
        front.log(SeverityNumber.INFO, "a basket is asked for")
        with front.tracer.start_as_current_span("GET", kind=SpanKind.CLIENT):
            propagate.inject(headers)
        root.set_attribute("http.response.status_code", 500)
        root.set_status(Status(StatusCode.ERROR))
    context = propagate.extract(headers)
    with back.tracer.start_as_current_span("GET /price", context=context, kind=SpanKind.SERVER) as price:
        with back.tracer.start_as_current_span("compute", attributes={"error.type": "ZeroDivisionError"}) as compute:
            try:
                divmod(1, 0)
            except ZeroDivisionError as error:
                compute.record_exception(error)
                compute.set_status(Status(StatusCode.ERROR, str(error)))
            back.log(SeverityNumber.ERROR, "the price could not be computed")
        price.set_status(Status(StatusCode.OK))
    return f"{root.get_span_context().trace_id:032x}"


def _metrics(front: Providers) -> None:
    meter = front.meters.get_meter("tests.clients", "1.0.0")
    counter = meter.create_counter("client.counter", "{thing}")
    for amount in (1, 2, 3):
        counter.add(amount, {"kind": f"kind-{amount}"})
    meter.create_gauge("client.gauge", "{thing}").set(42.5)
    histogram = meter.create_histogram("client.histogram", "s", explicit_bucket_boundaries_advisory=[0.1, 0.5, 1, 5])
    for value in (0.05, 0.3, 1.0, 2.5):
        histogram.record(value)
    exponential = meter.create_histogram("client.exponential", "s")
    for value in (1, 2, 4, 8, 16):
        exponential.record(value)


class _Complaints(logging.Handler):
    """The exporters swallow failures and log them: no log is no failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.name}: {record.getMessage()}")


if __name__ == "__main__":
    main()
