"""The simulated clock of the recording.

The SDKs take the time themselves (`from time import time_ns`), so this module must be imported before any of
them: it puts its own functions in the place of those of `time`. Only the wall clock is simulated; monotonic
clocks, on which threads and sockets wait, stay real.
"""

import datetime
import time

BASE = datetime.datetime(2026, 11, 21, 10, 0, 0, tzinfo=datetime.timezone.utc)
BASE_NS = int(BASE.timestamp()) * 1_000_000_000
MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
MINUTE = 60 * SECOND

_now_ns = BASE_NS


def now_ns() -> int:
    return _now_ns


def set_to(nanoseconds: int) -> None:
    """Requests overlap in simulated time, so the clock may also be set back, to the start of the next one."""
    global _now_ns
    _now_ns = nanoseconds


def advance(seconds: float) -> None:
    set_to(_now_ns + int(seconds * 1_000_000) * 1_000)


def to_next_millisecond() -> None:
    """JavaScript reads whole milliseconds: what it begins must not begin before its caller."""
    set_to(-(-_now_ns // MILLISECOND) * MILLISECOND)


def rfc3339(nanoseconds: int) -> str:
    moment = BASE + datetime.timedelta(microseconds=(nanoseconds - BASE_NS) // 1_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1_000:03d}Z"


time.time_ns = now_ns
time.time = lambda: _now_ns / 1e9
