"""Records the demo's telemetry: `record.sh` sets up what it needs and runs it.

A shop of four services with real OpenTelemetry SDKs lives through 130 simulated minutes, of which 18 are bad: the
rollout of payments 2.4.0 (artifact art-payments-7) exhausts its connection pool until it is rolled back. Everything
random is seeded and every export happens at a fixed simulated instant, so that recording again gives the same file.
"""

import argparse
import http.client
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import simclock  # before any SDK module: it replaces the clock

for name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[name]

from opentelemetry._logs import SeverityNumber  # noqa: E402

from capture import Captured, CaptureServer  # noqa: E402
from frames import write_frame  # noqa: E402
from shop import Checkout, Faults, Gateway, Inventory, Payments  # noqa: E402
from telemetry import Telemetry  # noqa: E402

HERE = Path(__file__).parent
MINUTES = 130
BAD_FROM, BAD_UNTIL = 40, 58
RAMP_MINUTES = 2
# Requests begin early enough in their minute that even the slowest has ended when the minute is exported: no trace
# is torn apart by an export.
STARTS_SECONDS_MAX = 53.0
METRICS_AT_SECONDS, SPANS_AT_SECONDS, BETWEEN_EXPORTS_SECONDS = 59.0, 59.5, 0.1

HEALTHY = Faults(pool_timeouts=0.002, resets=0.001, slowness=1.0)
RAMPING = Faults(pool_timeouts=0.25, resets=0.1, slowness=2.5)
BROKEN = Faults(pool_timeouts=0.46, resets=0.18, slowness=4.0)
GOOD_RELEASE = {"service.version": "2.3.9", "factory.artifact.id": "art-payments-6"}
BAD_RELEASE = {"service.version": "2.4.0", "factory.artifact.id": "art-payments-7"}
GENERATED_BY = {"factory.agent.id": "agent-forge", "factory.skill.id": "skill-payment-adapter"}


class Recorder:
    def __init__(self, otlp_url: str, inventory: "InventoryProcess"):
        self._url = otlp_url
        self._process = inventory
        self._rng = random.Random(20261121)
        client = Inventory(inventory.post)
        self._rollouts = 0
        self._payments = self._release(GOOD_RELEASE, HEALTHY)
        checkout = self._telemetry("checkout", {"service.version": "3.2.1"}, seed=2, gzip=False)
        self._checkout = Checkout(checkout, random.Random(2), client, lambda: self._payments)
        gateway = self._telemetry("gateway", {"service.version": "1.9.0"}, seed=1, gzip=True)
        self._gateway = Gateway(gateway, random.Random(1), self._checkout, client)

    def run(self) -> None:
        for minute in range(MINUTES):
            simclock.set_to(simclock.BASE_NS + minute * simclock.MINUTE)
            self._roll_out(minute)
            self._live_through(minute)
            self._export(minute)

    def _roll_out(self, minute: int) -> None:
        """A rollout replaces the process: the old one exports what it has and ends, counters begin anew."""
        if minute not in (BAD_FROM, BAD_UNTIL):
            if minute == BAD_FROM + RAMP_MINUTES:
                self._payments.faults = BROKEN
            return
        release, faults = (BAD_RELEASE, RAMPING) if minute == BAD_FROM else (GOOD_RELEASE, HEALTHY)
        old = self._payments
        old.log(SeverityNumber.INFO, "shutting down")
        old.telemetry.shut_down()
        simclock.advance(0.05)
        self._payments = self._release(release, faults)

    def _live_through(self, minute: int) -> None:
        for start, flow in sorted(self._arrivals(minute)):
            simclock.set_to(simclock.BASE_NS + minute * simclock.MINUTE + int(start * simclock.SECOND))
            if flow == "checkout":
                self._gateway.checkout()
            elif flow == "products":
                self._gateway.products(self._rng.choice(["mug", "shirt", "poster", "sticker", "lamp"]))
            else:
                self._gateway.order()

    def _arrivals(self, minute: int) -> list[tuple[float, str]]:
        wave = 1 + 0.12 * math.sin(minute / 11)
        return [
            (round(self._rng.uniform(0.2, STARTS_SECONDS_MAX), 6), flow)
            for flow, per_minute in (("checkout", 90), ("products", 110), ("order", 40))
            for _ in range(round(self._rng.gauss(per_minute * wave, per_minute * 0.04)))
        ]

    def _export(self, minute: int) -> None:
        services = [self._gateway, self._checkout, self._payments]
        for begin, flush, path in (
            (METRICS_AT_SECONDS, "flush_metrics", "/-/metrics"),
            (SPANS_AT_SECONDS, "flush_spans_and_logs", "/-/spans-and-logs"),
        ):
            for index, service in enumerate([*services, None]):
                seconds = begin + index * BETWEEN_EXPORTS_SECONDS
                simclock.set_to(
                    simclock.BASE_NS + minute * simclock.MINUTE + int(seconds * 1000) * simclock.MILLISECOND
                )
                if service:
                    getattr(service.telemetry, flush)()
                else:
                    self._process.post(path, {})

    def _release(self, release: dict, faults: Faults) -> Payments:
        self._rollouts += 1
        seed = 100 + self._rollouts
        attributes = {**release, **GENERATED_BY, "service.instance.id": f"payments-{self._rollouts}"}
        telemetry = self._telemetry("payments", attributes, seed=seed, gzip=True, views=Payments.VIEWS)
        payments = Payments(telemetry, random.Random(seed), faults)
        payments.log(SeverityNumber.INFO, f"payments {release['service.version']} started")
        return payments

    def _telemetry(self, name: str, attributes: dict, **options: object) -> Telemetry:
        common = {
            "service.namespace": "shop",
            "service.name": name,
            "service.instance.id": f"{name}-0",
            "deployment.environment.name": "production",
        }
        return Telemetry(self._url, {**common, **attributes}, **options)


class InventoryProcess:
    """The JavaScript service; it ends when its standard input closes."""

    def __init__(self, otlp_url: str):
        base_ms = str(simclock.BASE_NS // simclock.MILLISECOND)
        command = ["node", str(HERE / "inventory.mjs"), otlp_url, base_ms]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", int(self._process.stdout.readline()), timeout=30)

    def post(self, path: str, headers: dict[str, str]) -> tuple[int, str | None, float]:
        now_us = (simclock.now_ns() - simclock.BASE_NS) // 1000
        self._connection.request("POST", path, headers={**headers, "sim-now-us": str(now_us)})
        response = self._connection.getresponse()
        response.read()
        seconds = int(response.headers.get("sim-elapsed-us", "0")) / 1e6
        return response.status, response.headers.get("error-type") or None, seconds

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    random.seed(20261121)  # the SDK's exemplar reservoirs draw from the global generator
    frames: list[tuple[dict, bytes]] = []

    def keep(request: Captured) -> None:
        header = {
            "at": simclock.rfc3339(simclock.now_ns()),
            "path": request.path,
            "contentType": request.headers["content-type"],
        }
        if "content-encoding" in request.headers:
            header["contentEncoding"] = request.headers["content-encoding"]
        frames.append((header, request.body))

    server = CaptureServer(keep)
    inventory = InventoryProcess(server.base_url)
    try:
        Recorder(server.base_url, inventory).run()
    finally:
        inventory.close()
        server.close()
    frames.sort(key=lambda frame: frame[0]["at"])  # stable: what came at one instant stays in order
    with output.open("wb") as out:
        for header, body in frames:
            write_frame(out, header, body)
    print(f"{output}: {len(frames)} requests, {output.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
