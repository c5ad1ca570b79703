"""The Python services of the recorded shop: gateway, checkout and payments.

They call each other with W3C trace context in headers, as over HTTP. `inventory` is a process of its own, in
JavaScript, and really called over HTTP. Durations are simulated: a service advances the clock instead of waiting.
"""

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import propagate
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span

import simclock
from telemetry import Telemetry

# The bounds that the semantic conventions advise for durations of HTTP requests.
DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]
PAYMENT_ATTEMPTS = 2
POOL_SIZE = 20

Headers = dict[str, str]


class Answer:
    def __init__(self, status: int, error_type: str | None = None):
        self.status = status
        self.error_type = error_type or (str(status) if status >= 500 else None)


class Service:
    """What every service has: a SERVER span and the request metrics around each request, CLIENT spans around calls."""

    def __init__(self, name: str, telemetry: Telemetry, rng: random.Random):
        self.name = name
        self.telemetry = telemetry
        self.rng = rng
        meter = telemetry.meter
        self._duration = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS,
        )
        self._requests = meter.create_counter("shop.requests", "{request}", "Requests answered.")

    def serve(self, method: str, route: str, headers: Headers, handle: Callable[[Span], Answer]) -> Answer:
        started = simclock.now_ns()
        attributes = {"http.request.method": method, "http.route": route}
        context = propagate.extract(headers, context=Context())
        with self._span(f"{method} {route}", SpanKind.SERVER, {**attributes, "url.scheme": "http"}, context) as span:
            answer = handle(span)
            _finish(span, answer, error_from=500)
            attributes["http.response.status_code"] = answer.status
            if answer.error_type:
                attributes["error.type"] = answer.error_type
            self._duration.record((simclock.now_ns() - started) / 1e9, attributes)
            self._requests.add(1, attributes)
        return answer

    def call(
        self, method: str, peer: str, path: str, send: Callable[[Headers], Answer], **attributes: object
    ) -> Answer:
        attributes = {
            "http.request.method": method,
            "server.address": peer,
            "url.full": f"http://{peer}{path}",
        } | attributes
        with self._span(method, SpanKind.CLIENT, attributes) as span:
            headers: Headers = {}
            propagate.inject(headers)
            self.network()
            answer = send(headers)
            self.network()
            _finish(span, answer, error_from=400)
        return answer

    def database(self, operation: str, collection: str, mean_seconds: float) -> None:
        attributes = {"db.system.name": "postgresql", "db.operation.name": operation, "db.collection.name": collection}
        with self._span(f"{operation} {collection}", SpanKind.CLIENT, attributes):
            self.work(mean_seconds)

    def work(self, mean_seconds: float) -> None:
        simclock.advance(self.rng.lognormvariate(0, 0.35) * mean_seconds)

    def network(self) -> None:
        simclock.advance(self.rng.uniform(0.0004, 0.0018))

    def log(self, severity: SeverityNumber, body: str, **attributes: object) -> None:
        """Logs of a trace follow its sampling; what belongs to no trace is always kept."""
        context = get_current_span().get_span_context()
        if context.is_valid and not context.trace_flags.sampled:
            return
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        self.telemetry.logger.emit(
            LogRecord(
                timestamp=simclock.now_ns(),
                severity_number=severity,
                severity_text=severity.name,
                body=body,
                attributes=named,
            )
        )

    @contextmanager
    def _span(self, name: str, kind: SpanKind, attributes: dict, context: Context | None = None) -> Iterator[Span]:
        with self.telemetry.tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span


class Gateway(Service):
    """Where every trace begins."""

    def __init__(self, telemetry: Telemetry, rng: random.Random, checkout: "Checkout", inventory: "Inventory"):
        super().__init__("gateway", telemetry, rng)
        self._checkout = checkout
        self._inventory = inventory
        self._carts = telemetry.meter.create_up_down_counter("shop.carts", "{cart}", "Carts with something in them.")
        self._open_carts = 0

    def checkout(self) -> Answer:
        def handle(span: Span) -> Answer:
            span.set_attribute("http.request.header.authorization", ["Bearer not-a-real-token"])  # to be redacted
            self.work(0.004)
            answer = self.call("POST", "checkout", "/orders", self._checkout.place_order)
            if answer.status >= 500:
                self.log(SeverityNumber.ERROR, "checkout failed", http__response__status_code=answer.status)
            return answer

        self._cart(-1)
        return self.serve("POST", "/checkout", {}, handle)

    def products(self, sku: str) -> Answer:
        def handle(span: Span) -> Answer:
            span.set_attribute("shop.sku", sku)
            self.work(0.002)
            return self.call("GET", "inventory", f"/stock/{sku}", lambda headers: self._inventory.stock(sku, headers))

        self._cart(+1)
        return self.serve("GET", "/products/{sku}", {}, handle)

    def order(self) -> Answer:
        def handle(_: Span) -> Answer:
            self.work(0.002)
            return self.call("GET", "checkout", "/orders/{id}", self._checkout.show_order)

        return self.serve("GET", "/orders/{id}", {}, handle)

    def _cart(self, change: int) -> None:
        """A looked-at product begins a cart, a checkout ends one if there is any."""
        if self._open_carts + change >= 0:
            self._open_carts += change
            self._carts.add(change)


class Checkout(Service):
    def __init__(
        self, telemetry: Telemetry, rng: random.Random, inventory: "Inventory", payments: Callable[[], "Payments"]
    ):
        super().__init__("checkout", telemetry, rng)
        self._inventory = inventory
        self._payments = payments  # asked each time: a rollout replaces the instance
        self._checkouts = telemetry.meter.create_counter("shop.checkouts", "{checkout}", "Checkouts by outcome.")

    def place_order(self, headers: Headers) -> Answer:
        return self.serve("POST", "/orders", headers, self._place)

    def show_order(self, headers: Headers) -> Answer:
        def handle(_: Span) -> Answer:
            self.database("SELECT", "orders", 0.006)
            return Answer(200)

        return self.serve("GET", "/orders/{id}", headers, handle)

    def _place(self, span: Span) -> Answer:
        amount = round(self.rng.lognormvariate(3.6, 0.6), 2)
        span.set_attribute("shop.order.amount", amount)
        reserved = self.call("POST", "inventory", "/reservations", self._inventory.reserve)
        if reserved.status >= 500:
            return self._settled("failed", Answer(500, reserved.error_type))
        charged = self._charge(amount)
        if charged.status == 402:
            return self._settled("declined", Answer(402))
        if charged.status >= 500:
            self.log(
                SeverityNumber.ERROR,
                f"order refused after {PAYMENT_ATTEMPTS} payment attempts",
                error__type=charged.error_type,
                shop__order__amount=amount,
            )
            return self._settled("failed", Answer(503, charged.error_type))
        self.database("INSERT", "orders", 0.009)
        self.log(SeverityNumber.INFO, "order placed", shop__order__amount=amount)
        return self._settled("ok", Answer(201))

    def _charge(self, amount: float) -> Answer:
        for attempt in range(1, PAYMENT_ATTEMPTS + 1):
            payments = self._payments()
            answer = self.call(
                "POST",
                "payments",
                "/charges",
                lambda headers: payments.charge(amount, headers),
                **{"http.request.resend_count": attempt - 1},
            )
            if answer.status < 500:
                break
            self.log(SeverityNumber.WARN, "payment attempt failed", attempt=attempt, error__type=answer.error_type)
        return answer

    def _settled(self, outcome: str, answer: Answer) -> Answer:
        self._checkouts.add(1, {"outcome": outcome})
        return answer


class Payments(Service):
    """One release of payments; `faults` says how it behaves: the failing shares of one attempt, and how slow it is."""

    VIEWS = (
        View(
            instrument_name="payments.acquirer.duration", aggregation=ExponentialBucketHistogramAggregation(max_size=80)
        ),
    )

    def __init__(self, telemetry: Telemetry, rng: random.Random, faults: "Faults"):
        super().__init__("payments", telemetry, rng)
        self.faults = faults
        meter = telemetry.meter
        self._acquirer = meter.create_histogram(
            "payments.acquirer.duration", "s", "Duration of calls to the card acquirer."
        )
        meter.create_observable_gauge(
            "db.client.connection.count", [self._connections], "{connection}", "Connections of the pool."
        )

    def charge(self, amount: float, headers: Headers) -> Answer:
        def handle(span: Span) -> Answer:
            span.set_attribute("shop.order.amount", amount)
            self.work(0.005)
            dice = self.rng.random()
            if dice < self.faults.pool_timeouts:
                return self._failed(
                    "acquire connection",
                    self.rng.uniform(0.9, 1.6),
                    TimeoutError,
                    "PoolTimeoutError",
                    503,
                    f"no connection of the pool became free ({POOL_SIZE} in use)",
                )
            if dice < self.faults.pool_timeouts + self.faults.resets:
                return self._failed(
                    "POST acquirer",
                    self.rng.uniform(0.2, 0.7),
                    ConnectionResetError,
                    "ConnectionResetError",
                    502,
                    "connection reset by the acquirer",
                )
            self._authorise()
            if self.rng.random() < 0.02:
                self.log(SeverityNumber.INFO, "card declined", shop__order__amount=amount)
                return Answer(402)
            self.database("INSERT", "charges", 0.006)
            return Answer(201)

        return self.serve("POST", "/charges", headers, handle)

    def _authorise(self) -> None:
        started = simclock.now_ns()
        with self._span(
            "POST acquirer", SpanKind.CLIENT, {"server.address": "acquirer.example", "http.request.method": "POST"}
        ):
            self.work(0.085 * self.faults.slowness)
            self._acquirer.record((simclock.now_ns() - started) / 1e9, {"outcome": "ok"})

    def _failed(
        self, name: str, seconds: float, kind: type[Exception], error_type: str, status: int, message: str
    ) -> Answer:
        started = simclock.now_ns()
        with self._span(
            name, SpanKind.CLIENT if "acquirer" in name else SpanKind.INTERNAL, {"error.type": error_type}
        ) as span:
            simclock.advance(seconds)
            self._acquirer.record((simclock.now_ns() - started) / 1e9, {"outcome": "error"})
            try:
                raise kind(message)
            except kind as error:
                # The SDK's own stack trace would name the folder in which the recording was made.
                stack = traceback.format_exc().replace(str(Path(__file__).parent) + "/", "")
                span.record_exception(error, {"exception.type": error_type, "exception.stacktrace": stack})
            span.set_status(Status(StatusCode.ERROR, message))
        self.log(SeverityNumber.ERROR, message, error__type=error_type, db__client__connection__count=POOL_SIZE)
        return Answer(status, error_type)

    def _connections(self, _: CallbackOptions) -> Iterator[Observation]:
        used = POOL_SIZE if self.faults.pool_timeouts > 0.1 else self.rng.randint(3, 9)
        yield Observation(used, {"state": "used"})
        yield Observation(POOL_SIZE - used, {"state": "idle"})


class Faults:
    def __init__(self, pool_timeouts: float, resets: float, slowness: float):
        self.pool_timeouts = pool_timeouts
        self.resets = resets
        self.slowness = slowness


class Inventory:
    """The client side of the JavaScript service: a call over HTTP that tells it the simulated time."""

    def __init__(self, post: Callable[[str, Headers], tuple[int, str | None, float]]):
        self._post = post

    def reserve(self, headers: Headers) -> Answer:
        return self._ask("/reservations", headers)

    def stock(self, sku: str, headers: Headers) -> Answer:
        return self._ask(f"/stock/{sku}", headers)

    def _ask(self, path: str, headers: Headers) -> Answer:
        simclock.to_next_millisecond()
        status, error_type, seconds = self._post(path, headers)
        simclock.advance(seconds)
        return Answer(status, error_type)


def _finish(span: Span, answer: Answer, error_from: int) -> None:
    """The semantic conventions: 4xx is an error of the caller's span, not of the server's."""
    span.set_attribute("http.response.status_code", answer.status)
    if answer.status >= error_from:
        span.set_attribute("error.type", answer.error_type or str(answer.status))
        span.set_status(Status(StatusCode.ERROR))
