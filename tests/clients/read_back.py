"""Reads back what the senders sent: `cat expectations | read_back.py BASE_URL`.

Each line of the input is an expectation {about, trace, logs, metrics}. A trace settles ten seconds after its last
span, one with a missing parent a minute after its first; metrics are there when their minute has closed. Ends with 1
and says what is missing or different when a deadline has passed.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

TRACE_SECONDS_MAX = 60
HELD_TRACE_SECONDS_MAX = 120
METRIC_SECONDS_MAX = 200  # a minute to its end, 30 s of lateness, the tick, and a margin
POLL_SECONDS = 2
TOLERANCE = 1e-9
RANGE_MS = 15 * 60_000


def main() -> None:
    platform = Platform(sys.argv[1])
    expectations = [json.loads(line) for line in sys.stdin if line.strip()]
    if not expectations:
        sys.exit("nothing was sent")
    missing = []
    for expected in expectations:
        about, trace = expected["about"], expected["trace"]
        seconds = TRACE_SECONDS_MAX if trace["completeness"] == "complete" else HELD_TRACE_SECONDS_MAX
        missing += settled(about, seconds, lambda: trace_differs(platform, trace))
        missing += settled(about, TRACE_SECONDS_MAX, lambda: logs_differ(platform, trace["traceId"], expected["logs"]))
    for expected in expectations:
        for metric in expected["metrics"]:
            missing += settled(expected["about"], METRIC_SECONDS_MAX, lambda: metric_differs(platform, metric))
    for text in missing:
        print(f"FAILED {text}", file=sys.stderr)
    checks = sum(2 + len(expected["metrics"]) for expected in expectations)
    print(f"{checks - len(missing)} of {checks} checks passed: {len(expectations)} traces, their logs and metrics")
    sys.exit(1 if missing else 0)


class Platform:
    def __init__(self, base_url: str):
        self._base = base_url.rstrip("/")
        token = os.environ.get("OPSLOOP_TOKEN")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, object]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._base + path, data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")


STARTED = time.monotonic()


def settled(about: str, seconds: float, differs: Callable[[], str | None]) -> list[str]:
    """Asks until nothing differs; the deadline counts from the start, for everything was sent before it."""
    while difference := differs():
        if time.monotonic() - STARTED > seconds:
            return [f"{about}: after {seconds:.0f} s {difference}"]
        time.sleep(POLL_SECONDS)
    return []


def trace_differs(platform: Platform, expected: dict) -> str | None:
    status, record = platform.ask("GET", f"/v1/traces/{expected['traceId']}")
    if status != 200:
        return f"GET /v1/traces/{expected['traceId']} answers {status}: {record}"
    spans = {span["name"]: span["status"] for span in record["spans"]}
    seen = {**record, "spans": spans}
    wanted = {
        **expected,
        "spanCount": len(expected["spans"]),
        "errorSpanCount": sum(status == "error" for status in expected["spans"].values()),
    }
    return next(
        (
            f"trace {expected['traceId']} has {name} {seen.get(name)!r}, expected {value!r}"
            for name, value in wanted.items()
            if seen.get(name) != value
        ),
        None,
    )


def logs_differ(platform: Platform, trace_id: str, expected: list[list[str]]) -> str | None:
    status, answer = platform.ask("GET", f"/v1/traces/{trace_id}/logs")
    if status != 200:
        return f"GET /v1/traces/{trace_id}/logs answers {status}: {answer}"
    logs = sorted([log["level"], log["body"]] for log in answer["logs"])
    return None if logs == sorted(expected) else f"trace {trace_id} has the logs {logs}, expected {expected}"


def metric_differs(platform: Platform, expected: dict) -> str | None:
    now = int(time.time() * 1000)
    query = {
        "selector": {"metricName": expected["metricName"], "matchers": expected["matchers"], "groupBy": ["moduleId"]},
        "aggregation": expected["aggregation"],
        "windowMs": 60_000,
        "from": rfc3339(now - RANGE_MS),
        "until": rfc3339(now),
    }
    status, answer = platform.ask("POST", "/v1/metrics/query", query)
    what = f"{expected['aggregation']} of {expected['metricName']} of {expected['matchers'][0]['value']}"
    if status != 200:
        return f"{what}: POST /v1/metrics/query answers {status}: {answer}"
    if len(answer["series"]) != 1:
        return f"{what}: one series expected: {answer}"
    series = answer["series"][0]
    for name in ("kind", "unit", "aggregation"):
        if series[name] != expected[name]:
            return f"{what} has {name} {series[name]!r}, expected {expected[name]!r}"
    # Each was exported once, so one minute has it and no other has any.
    values = [point["value"] for point in series["points"] if point.get("value") is not None]
    if len(values) == 1 and abs(values[0] - expected["value"]) <= TOLERANCE * abs(expected["value"]):
        return None
    return f"{what} is {values}, expected {expected['value']} in one window"


def rfc3339(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}Z"


if __name__ == "__main__":
    main()
