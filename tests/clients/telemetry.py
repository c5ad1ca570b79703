"""The OpenTelemetry SDK of one simulated service: real providers and exporters, flushed when we say so."""

import math
import random

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

SCOPE = "shop.instrumentation"
SCOPE_VERSION = "1.4.0"
# The exporters' own threads must never wake: simulated minutes pass in real milliseconds, and only an explicit
# flush puts the same spans into the same request each time. Larger than anything of one simulated minute.
BATCH_MAX = 4096
NEVER_MILLIS = 24 * 3600 * 1000
# The share of traces that is kept, decided at the root and followed by every service after it.
SAMPLED_SHARE = 0.05


class Telemetry:
    def __init__(self, endpoint: str, attributes: dict, *, seed: int, gzip: bool, views: tuple = ()):
        resource = Resource.create(attributes)
        compression = Compression.Gzip if gzip else Compression.NoCompression
        batching = {
            "schedule_delay_millis": NEVER_MILLIS,
            "max_queue_size": BATCH_MAX,
            "max_export_batch_size": BATCH_MAX,
        }

        self._tracers = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(SAMPLED_SHARE)), id_generator=_SeededIds(seed)
        )
        spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=compression)
        self._tracers.add_span_processor(BatchSpanProcessor(spans, **batching))

        metrics = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", compression=compression)
        reader = PeriodicExportingMetricReader(metrics, export_interval_millis=math.inf)
        self._meters = MeterProvider(resource=resource, metric_readers=[reader], views=views)

        self._loggers = LoggerProvider(resource=resource)
        logs = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", compression=compression)
        self._loggers.add_log_record_processor(BatchLogRecordProcessor(logs, **batching))

        self.tracer = self._tracers.get_tracer(SCOPE, SCOPE_VERSION)
        self.meter = self._meters.get_meter(SCOPE, SCOPE_VERSION)
        self.logger = self._loggers.get_logger(SCOPE, SCOPE_VERSION)

    def flush_metrics(self) -> None:
        self._meters.force_flush()

    def flush_spans_and_logs(self) -> None:
        self._tracers.force_flush()
        self._loggers.force_flush()

    def shut_down(self) -> None:
        """As a process does at its end: everything is exported once more."""
        self._tracers.shutdown()
        self._meters.force_flush()  # a reader without an interval does not export at its end
        self._meters.shutdown()
        self._loggers.shutdown()


class _SeededIds(IdGenerator):
    def __init__(self, seed: int):
        self._random = random.Random(seed)

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1
