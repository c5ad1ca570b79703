"""Decodes a recording with the official protobuf types, checks it, and says what is in it.

`summary.py demo/recording.otlp` prints; with `--write demo/README.md` it also renews the part between the two marks
of that file. Fails when a body does not decode, an instant lies outside [at - 5 min, at], or a frame is out of order.
"""

import argparse
import datetime
from collections import Counter, defaultdict
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import verdicts
from frames import decompressed, read_frames

BYTES_MAX = 3 * 1024 * 1024
SPAN_OF_TIME_NS = 5 * 60 * 10**9
OUTLIER_NS = 2 * 10**9  # the default threshold of a latency outlier
REQUESTS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}
BEGIN, END = "<!-- counts: written by summary.py -->", "<!-- end of counts -->"


class Recording:
    """Everything of a recording that the summary and the verdicts read."""

    def __init__(self, path: Path):
        self.bytes = path.stat().st_size
        self.counts: Counter[str] = Counter()
        self.first = self.last = ""
        self.spans: dict[bytes, list] = defaultdict(list)  # (service, span) by trace id
        self.points: list = []  # (at in ns, service, metric name, kind, point)
        self.services: Counter[str] = Counter()
        self.artifacts: Counter[str] = Counter()
        with path.open("rb") as source:
            for header, body in read_frames(source):
                self._take(header, decompressed(header, body))

    def _take(self, header: dict, body: bytes) -> None:
        if header["at"] < self.last:
            raise ValueError(f"frame of {header['at']} after that of {self.last}")
        self.first, self.last = self.first or header["at"], header["at"]
        request = REQUESTS[header["path"]]()
        request.ParseFromString(body)
        if not request.ListFields():
            raise ValueError(f"empty request at {header['at']}")
        self.counts[f"requests {header['path']}"] += 1
        self.counts["requests with gzip"] += header.get("contentEncoding") == "gzip"
        at = nanoseconds(header["at"])
        take = {"/v1/traces": self._spans, "/v1/metrics": self._metrics, "/v1/logs": self._logs}[header["path"]]
        take(request, at)

    def _spans(self, request: ExportTraceServiceRequest, at: int) -> None:
        for of_resource in request.resource_spans:
            resource = attributes(of_resource.resource)
            for span in (span for scope in of_resource.scope_spans for span in scope.spans):
                check_instants(
                    at, span.start_time_unix_nano, span.end_time_unix_nano, *(e.time_unix_nano for e in span.events)
                )
                self.counts["spans"] += 1
                self.counts["span events"] += len(span.events)
                self.services[resource["service.name"]] += 1
                if "factory.artifact.id" in resource:
                    kind = "error spans" if span.status.code == 2 else "other spans"
                    self.artifacts[f"{resource['factory.artifact.id']}: {kind}"] += 1
                self.spans[span.trace_id].append((resource["service.name"], span))

    def _metrics(self, request: ExportMetricsServiceRequest, at: int) -> None:
        for of_resource in request.resource_metrics:
            resource = attributes(of_resource.resource)
            for metric in (metric for scope in of_resource.scope_metrics for metric in scope.metrics):
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    check_instants(at, point.time_unix_nano, *(e.time_unix_nano for e in point.exemplars))
                    self.counts["points"] += 1
                    self.counts[f"points of kind {kind}"] += 1
                    self.counts["exemplars"] += len(point.exemplars)
                    self.points.append((at, resource["service.instance.id"], metric.name, kind, point))

    def _logs(self, request: ExportLogsServiceRequest, at: int) -> None:
        for of_resource in request.resource_logs:
            for record in (record for scope in of_resource.scope_logs for record in scope.log_records):
                check_instants(at, record.observed_time_unix_nano, *filter(None, [record.time_unix_nano]))
                self.counts["log records"] += 1
                self.counts["log records with a trace"] += bool(record.trace_id)
                self.counts["log records of severity ERROR"] += record.severity_number == 17


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    recording = Recording(arguments.recording)
    if recording.bytes > BYTES_MAX:
        raise ValueError(f"{recording.bytes} bytes, the limit is {BYTES_MAX}")
    text = "\n".join([*_volume(recording), "", *_traces(recording), "", *verdicts.report(recording.points)])
    print(text)
    if arguments.write:
        before, rest = arguments.write.read_text().split(BEGIN)
        arguments.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def nanoseconds(at: str) -> int:
    moment = datetime.datetime.fromisoformat(at)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def attributes(owner) -> dict:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner.attributes}


def check_instants(at: int, *instants: int) -> None:
    for instant in instants:
        if not at - SPAN_OF_TIME_NS <= instant <= at:
            raise ValueError(f"instant {instant} outside the 5 minutes before {at}")


def _volume(recording: Recording) -> list[str]:
    lines = [
        f"{recording.bytes} bytes, from {recording.first} to {recording.last}.",
        "",
        "| what | number |",
        "|---|---|",
    ]
    return lines + [f"| {name} | {number} |" for name, number in sorted(recording.counts.items())]


def _traces(recording: Recording) -> list[str]:
    by_root: dict[str, Counter[str]] = defaultdict(Counter)
    hours: dict[str, Counter[str]] = defaultdict(Counter)
    signals: dict[str, list[int]] = defaultdict(list)
    for spans in recording.spans.values():
        service, root = whole(spans)
        counter = by_root[f"{service} `{root.name}`"]
        error = root.status.code == 2
        slow = root.end_time_unix_nano - root.start_time_unix_nano > OUTLIER_NS
        counter["traces"] += 1
        counter["error"] += error
        counter["slow"] += slow
        counter["inner"] += not error and any(span.status.code == 2 for _, span in spans)
        hours[clock(root.start_time_unix_nano, "%H:00")].update({"traces": 1, "error": int(error)})
        if error:
            signals[f"error_trace of {origin(root, spans)}"].append(root.end_time_unix_nano)
        if slow:
            signals["latency_outlier"].append(root.end_time_unix_nano)
    lines = ["| root | traces | status error | above 2 s | ok with error spans inside |", "|---|---|---|---|---|"]
    for name, of in sorted(by_root.items()):
        lines.append(f"| {name} | {of['traces']} | {of['error']} | {of['slow']} | {of['inner']} |")
    return lines + [
        "",
        "Every trace is whole (one root, no orphan). Traces (with error) by hour: "
        + ", ".join(f"{hour} {of['traces']} ({of['error']})" for hour, of in sorted(hours.items()))
        + ".",
        "Signals (SPEC 5.1.4(6)): "
        + ", ".join(_signal(name, sorted(ends)) for name, ends in sorted(signals.items()))
        + ".",
        "Spans by service: "
        + ", ".join(f"{name} {number}" for name, number in sorted(recording.services.items()))
        + ".",
        "Spans by artifact: "
        + ", ".join(f"{name} {number}" for name, number in sorted(recording.artifacts.items()))
        + ".",
    ]


def _signal(name: str, ends: list[int]) -> str:
    tenth = f", the tenth {clock(ends[9])}" if len(ends) > 9 else ""
    return f"{name} {len(ends)} from {clock(ends[0])}{tenth}"


def whole(spans: list) -> tuple:
    """The root of a trace, if it is one tree."""
    ids = {span.span_id for _, span in spans}
    roots = [(service, span) for service, span in spans if not span.parent_span_id]
    if len(roots) != 1 or any(span.parent_span_id not in ids for _, span in spans if span.parent_span_id):
        raise ValueError(f"trace {spans[0][1].trace_id.hex()} is torn: {len(roots)} roots among {len(spans)} spans")
    return roots[0]


def clock(instant: int, form: str = "%H:%M:%S") -> str:
    return datetime.datetime.fromtimestamp(instant / 1e9, datetime.timezone.utc).strftime(form)


def origin(root, spans: list) -> str:
    """The span that SPEC 5.1.4(6) takes for the origin: down the earliest child that holds an error span."""
    children = defaultdict(list)
    for service, span in spans:
        children[span.parent_span_id].append((span.start_time_unix_nano, span.span_id, service, span))

    def holds_error(span) -> bool:
        return span.status.code == 2 or any(holds_error(child[3]) for child in children[span.span_id])

    found, at, service = ("", root), root, ""
    while child := next(
        (child for child in sorted(children[at.span_id], key=lambda c: c[:2]) if holds_error(child[3])), None
    ):
        service, at = child[2], child[3]
        if at.status.code == 2:
            found = (service, at)
    return f"{found[0]} {attributes(found[1]).get('error.type', '-')}"


if __name__ == "__main__":
    main()
