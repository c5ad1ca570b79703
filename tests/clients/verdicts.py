"""What the rules that demo/README.md proposes make of the recording: SPEC 5.3.4 and 5.4.4, as far as they need it.

An independent estimate to tune the demo by, kept short: no staleness, no late data, no recovery hysteresis but that
of the burn rates.
"""

import datetime
from collections import Counter

MINUTE_NS = 60 * 10**9
LATENESS_NS = 30 * 10**9
THRESHOLD_SECONDS = 1.0
# (name, long minutes, short minutes, factor) of the default burn rules; the proposal has only the first.
BURN_RULES = [("fast", 60, 5, 14.4), ("slow", 360, 30, 6.0), ("ticket", 4320, 360, 1.0)]


class Minutes:
    """Requests of gateway's `POST /checkout` in each minute: all, failed (5xx), slower than the threshold."""

    def __init__(self, points: list):
        self.total: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()
        self.slow: Counter[int] = Counter()
        before: dict[tuple, tuple[int, float]] = {}
        for _, instance, name, _, point in points:
            if name != "http.server.request.duration" or not instance.startswith("gateway"):
                continue
            labels = {pair.key: pair.value.string_value or pair.value.int_value for pair in point.attributes}
            if labels["http.route"] != "/checkout":
                continue
            key = tuple(sorted((name, str(value)) for name, value in labels.items()))
            within = sum(
                count
                for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False)
                if bound <= THRESHOLD_SECONDS
            )
            count, good = before.get(key, (0, 0))
            minute = (point.time_unix_nano - 1) // MINUTE_NS
            self.total[minute] += point.count - count
            self.slow[minute] += (point.count - count) - (within - good)
            if int(labels["http.response.status_code"]) >= 500:
                self.failed[minute] += point.count - count
            before[key] = (point.count, within)

    def newest_closed(self, slot: int) -> int:
        """Slot and minutes are counted in minutes: a window closes 30 s after its end, so at the next slot."""
        return slot - 1 - -(-LATENESS_NS // MINUTE_NS)


def report(points: list) -> list[str]:
    minutes = Minutes(points)
    slots = range(min(minutes.total), max(minutes.total) + 3)
    lines = ["What the proposed rules make of it (an estimate by verdicts.py; instants are slots):", ""]
    lines += _alert("checkout-errors", minutes, slots)
    lines += _burns("checkout-availability", minutes.failed, minutes.total, 0.999, slots, minutes)
    lines += _burns("checkout-latency", minutes.slow, minutes.total, 0.995, slots, minutes)
    return lines + [""] + _table(minutes)


def _alert(name: str, minutes: Minutes, slots: range) -> list[str]:
    """Ratio of the sums over 5 minutes above 5 %, for 2 minutes, kept firing for 3 minutes."""
    state, since, out = "inactive", 0, []
    for slot in slots:
        newest = minutes.newest_closed(slot)
        window = range(newest - 4, newest + 1)
        total, failed = sum(minutes.total[m] for m in window), sum(minutes.failed[m] for m in window)
        met = total >= 50 and failed / total > 0.05
        if met and state == "inactive":
            state, since = "pending", slot
        if met and state == "pending" and slot - since >= 2:
            state = "firing"
            out.append(
                f"- alert `{name}`: pending {_clock(since)}, **fires {_clock(slot)}** ({failed / total:.1%} of {total})"
            )
        elif met and state == "recovering":
            state = "firing"
        elif not met and state == "pending":
            state = "inactive"
        elif not met and state == "firing":
            state, since = "recovering", slot
        elif not met and state == "recovering" and slot - since >= 3:
            state = "inactive"
            out.append(f"- alert `{name}`: false since {_clock(since)}, **resolves {_clock(slot)}**")
    return out or [f"- alert `{name}` never fires"]


def _burns(name: str, bad: Counter, total: Counter, objective: float, slots: range, minutes: Minutes) -> list[str]:
    out = []
    for rule in BURN_RULES:
        out += [
            f"- SLO `{name}`, rule `{rule[0]}`: {line}" for line in _burn(rule, bad, total, objective, slots, minutes)
        ]
    remaining = 1 - bad.total() / total.total() / (1 - objective)
    line = f"{bad.total():.0f} bad of {total.total()} in the whole recording, budget remaining {remaining:.2f}"
    return [*out, f"- SLO `{name}`: {line}"]


def _burn(rule: tuple, bad: Counter, total: Counter, objective: float, slots: range, minutes: Minutes) -> list[str]:
    _, long, short, factor = rule
    active, unmet, highest, out = None, None, 0.0, []
    for slot in slots:
        newest = minutes.newest_closed(slot)
        windows = [range(newest - length + 1, newest + 1) for length in (long, short)]
        bads, totals = ([sum(of[m] for m in window) for window in windows] for of in (bad, total))
        if not all(totals):
            continue
        burns = [b / t / (1 - objective) for b, t in zip(bads, totals, strict=True)]
        highest = max(highest, burns[0])
        if min(burns) > factor and totals[0] >= 100 and bads[1] >= 3:
            unmet = None
            if active is None:
                active = slot
                numbers = f"burn {burns[0]:.1f} / {burns[1]:.1f}, {bads[0]:.0f} bad of {totals[0]}"
                out.append(f"**breached {_clock(slot)}** ({numbers})")
        elif active is not None:
            unmet = slot if unmet is None else unmet
            if slot - unmet >= 5:
                out.append(f"not met since {_clock(unmet)}, **recovered {_clock(slot)}**")
                active = unmet = None
    if active is not None:
        out.append("still active at the end")
    return [*out, f"highest burn over {long} min {highest:.1f} (factor {factor})"]


def _table(minutes: Minutes) -> list[str]:
    lines = [
        "`POST /checkout` at the gateway, five minutes a line:",
        "",
        "| from | requests | failed | above 1 s |",
        "|---|---|---|---|",
    ]
    first = min(minutes.total)
    for start in range(first, max(minutes.total) + 1, 5):
        window = range(start, start + 5)
        lines.append(
            f"| {_clock(start)} | {sum(minutes.total[m] for m in window)} | {sum(minutes.failed[m] for m in window)} "
            f"| {sum(minutes.slow[m] for m in window):.0f} |"
        )
    return lines


def _clock(minute: int) -> str:
    return datetime.datetime.fromtimestamp(minute * 60, datetime.timezone.utc).strftime("%H:%M")
