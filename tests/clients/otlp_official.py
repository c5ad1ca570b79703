"""Sends the official OTLP/JSON examples: `otlp_official.py BASE_URL`.

As they are, they are of 2018: the span is rejected as too old, alone and by partial success, all else is accepted.
Moved to now, under a trace and a service of their own, everything must come back: prints what, for `read_back.py`.
"""

import json
import os
import re
import secrets
import sys
import time
import urllib.request
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "golden" / "otlp" / "official"
SIGNALS = {"trace": "traces", "metrics": "metrics", "logs": "logs", "events": "logs"}
TRACE_ID = "5B8EFFF798038103D269B633813FC60C"
SERVICE = "my.service"
THE_OLD_ONE_IS_REJECTED = {"trace": ("rejectedSpans", 1)}


def main() -> None:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", sys.argv[1])
    trace_id, service = secrets.token_hex(16), f"official-{secrets.token_hex(4)}"
    for name, signal in SIGNALS.items():
        example = (EXAMPLES / f"{name}.json").read_text()
        check(name, post(endpoint, signal, example), *THE_OLD_ONE_IS_REJECTED.get(name, (None, 0)))
        # Ids in upper case, as in the example: OTLP allows any case, the platform answers in lower case.
        moved = moved_to_now(example).replace(TRACE_ID, trace_id.upper()).replace(f'"{SERVICE}"', f'"{service}"')
        check(f"{name} of now", post(endpoint, signal, moved), None, 0)
    print(json.dumps(expectation(trace_id, service)))


def moved_to_now(example: str) -> str:
    """Keeps the distances: the newest instant of the example becomes now."""
    instants = re.compile(r'(UnixNano": ")(\d+)"')
    delta = time.time_ns() - max(int(match[2]) for match in instants.finditer(example))
    return instants.sub(lambda match: f'{match[1]}{int(match[2]) + delta}"', example)


def post(endpoint: str, signal: str, body: str) -> dict:
    headers = {"Content-Type": "application/json"}
    for pair in filter(None, os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")):
        name, value = pair.split("=", 1)
        headers[name.strip()] = value.strip()
    request = urllib.request.Request(f"{endpoint.rstrip('/')}/v1/{signal}", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"{}")


def check(name: str, answer: dict, field: str | None, rejected: int) -> None:
    partial = answer.get("partialSuccess", {})
    told = {key: int(value) for key, value in partial.items() if key.startswith("rejected") and int(value)}
    if told != ({field: rejected} if field else {}):
        sys.exit(f"example {name}: rejected {rejected} expected, the answer is {answer}")
    if rejected and not partial.get("errorMessage"):
        sys.exit(f"example {name}: a partial success without a message: {answer}")


def expectation(trace_id: str, service: str) -> dict:
    return {
        "about": "official examples moved to now",
        "trace": {
            "traceId": trace_id,
            "status": "unset",
            "completeness": "partial",
            "services": [service],
            "spans": {"I'm a server span": "unset"},
        },
        "logs": [["info", "Example log record"]],
        "metrics": [
            metric(service, "my.counter", "counter", "1", "sum", 5),
            metric(service, "my.gauge", "gauge", "1", "last", 10),
            metric(service, "my.histogram", "histogram", "1", "count", 2),
            metric(service, "my.histogram", "histogram", "1", "sum", 2),
            metric(service, "my.exponential.histogram", "exponential_histogram", "1", "count", 3),
            metric(service, "my.exponential.histogram", "exponential_histogram", "1", "sum", 10),
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


if __name__ == "__main__":
    main()
