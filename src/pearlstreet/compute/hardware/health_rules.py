"""Rules on error counters of devices: what is only warned of, what takes a node out, and when it comes back. Pure.

Counters are cumulative (errors since the driver started). A history keeps their increases by hour, so a rule looks at the
increase within its window, and a counter that a driver reset does not hide what came before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.text import Text, from_json, plural, text
from pearlstreet.compute.hardware.model import DeviceReport

HOUR_US = 3600 * US_PER_S
HOURS_KEPT = 24
THROTTLED = "throttled"
"""Gauge, 1 while the hardware slows itself down; the history counts seconds of it as `throttled_s`."""
THROTTLED_S = "throttled_s"
XID = "xid_"
"""Prefix of counters of NVIDIA's Xid errors by code, such as `xid_79`."""
XID_OF_PROGRAMS = frozenset({8, 13, 31, 32, 43, 45, 68, 69})
"""Xid codes that a faulty program causes on a healthy device (NVIDIA, "Xid Errors")."""
XID_FATAL = frozenset({46, 48, 61, 62, 64, 74, 79, 92, 95, 109, 119, 120, 140, 143})
"""Xid codes of failing hardware: double-bit errors, failed remaps, NVLink errors, a device off the bus, firmware that hangs."""
Level = Literal["ok", "warn", "drain"]
Hours = Mapping[int, Mapping[int, Mapping[str, float]]]
"""Hour since 1970 → device index → counter → increase."""


@dataclass(frozen=True, slots=True)
class HealthRule:
    """Limits on the increase of a counter within a window."""

    counter: str
    """Name of the counter; `xid_fatal` and `xid_other` stand for groups of Xid codes."""
    window_h: int
    warn: float | None = None
    """Increase from which operators are warned; None: never."""
    drain: float | None = None
    """Increase from which the node is drained; None: never."""


RULES: tuple[HealthRule, ...] = (
    HealthRule("ecc_uncorrected", 24, drain=1),
    HealthRule("ecc_corrected", 24, warn=1_000, drain=100_000),
    HealthRule("xid_fatal", 24, drain=1),
    HealthRule("xid_other", 24, warn=1, drain=20),
    HealthRule("link_errors", 1, warn=100, drain=10_000),
    HealthRule("pcie_replays", 1, warn=100, drain=10_000),
    HealthRule(THROTTLED_S, 1, warn=300, drain=1_800),
)
"""Default rules. One corrected error a minute over a day is usual wear; a link that repeats 10,000 transfers an hour is slow."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Rules in force, and what they may do."""

    drains: bool = True
    """Whether rules drain nodes; otherwise they only warn."""
    quiet_s: float = 3_600.0
    """Time without new errors after which a node that rules drained is taken back; 0: only after a passed burn-in."""
    rules: tuple[HealthRule, ...] = RULES


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a device breaks."""

    counter: str
    device: int
    """Index of the device; -1: the whole node."""
    level: Level
    amount: float
    words: Text

    def to_json(self) -> dict[str, Any]:
        """Return the finding as it is stored."""
        return {
            "counter": self.counter,
            "device": self.device,
            "level": self.level,
            "amount": self.amount,
            "words": self.words.to_json(),
        }


def finding_from_json(value: Mapping[str, Any]) -> Finding:
    """Return the finding that `to_json` wrote."""
    return Finding(
        value["counter"], value["device"], value["level"], value["amount"], from_json(value["words"])
    )


@dataclass(frozen=True, slots=True)
class CounterHistory:
    """Counters of a node's devices as last seen, and their increases by hour."""

    last: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    hours: Hours = field(default_factory=dict)
    newest_us: int = 0
    """Time of the newest increase; 0: none."""
    forgiven_us: int = 0
    """Time at which errors and burn-ins from before ceased to count; 0: never."""

    def to_json(self) -> dict[str, Any]:
        """Return the history as it is stored."""
        return {
            "last": {str(device): dict(values) for device, values in self.last.items()},
            "hours": {
                str(hour): {str(device): dict(values) for device, values in by_device.items()}
                for hour, by_device in self.hours.items()
            },
            "newest_us": self.newest_us,
            "forgiven_us": self.forgiven_us,
        }


def history_from_json(value: Mapping[str, Any]) -> CounterHistory:
    """Return the history that `to_json` wrote."""
    hours = {
        int(hour): {int(device): values for device, values in by_device.items()}
        for hour, by_device in value.get("hours", {}).items()
    }
    last = {int(device): values for device, values in value.get("last", {}).items()}
    return CounterHistory(last, hours, value.get("newest_us", 0), value.get("forgiven_us", 0))


def add_sample(
    history: CounterHistory, devices: Iterable[DeviceReport], now_us: int, elapsed_s: float
) -> CounterHistory:
    """Return the history with one more sample. A device's first sample is its baseline and increases nothing.

    `elapsed_s`: time since the sample before, which counts as throttled for a device that is throttled now.
    """
    hour = now_us // HOUR_US
    last, fresh = dict(history.last), dict(history.hours.get(hour, {}))
    newest_us = history.newest_us
    for device in devices:
        if not device.counters:
            continue
        values = {name: value for name, value in device.counters.items() if name != THROTTLED}
        grown = _increase(history.last.get(device.index), values)
        if device.counters.get(THROTTLED) and elapsed_s > 0:
            grown[THROTTLED_S] = elapsed_s
        if grown:
            before = fresh.get(device.index, {})
            fresh[device.index] = {**before, **{name: before.get(name, 0) + n for name, n in grown.items()}}
            newest_us = now_us
        last[device.index] = values
    kept = {h: values for h, values in history.hours.items() if hour - HOURS_KEPT < h < hour}
    return replace(history, last=last, hours={**kept, hour: fresh} if fresh else kept, newest_us=newest_us)


def _increase(before: Mapping[str, float] | None, now: Mapping[str, float]) -> dict[str, float]:
    if before is None:
        return {}
    found = {}
    for name, value in now.items():
        old = before.get(name, 0.0)
        grown = value - old if value >= old else value  # a restarted driver counts from 0 again
        if grown > 0:
            found[name] = grown
    return found


def forgive(history: CounterHistory, now_us: int) -> CounterHistory:
    """Return the history without past increases, after a repair, a passed check or an operator's decision."""
    return replace(history, hours={}, newest_us=0, forgiven_us=now_us)


def find_problems(history: CounterHistory, policy: HealthPolicy, now_us: int) -> tuple[Finding, ...]:
    """Return what breaks a rule, the worst first."""
    hour = now_us // HOUR_US
    found = []
    for rule in policy.rules:
        totals: dict[int, float] = {}
        for at, by_device in history.hours.items():
            if hour - rule.window_h < at <= hour:
                for device, values in by_device.items():
                    amount = sum(n for name, n in values.items() if _counts(rule.counter, name))
                    totals[device] = totals.get(device, 0.0) + amount
        for device, amount in sorted(totals.items()):
            level = _level(rule, amount)
            if level != "ok":
                found.append(Finding(rule.counter, device, level, amount, _words(rule, device, amount)))
    return tuple(sorted(found, key=lambda finding: (finding.level != "drain", finding.device)))


def burn_in_finding(words: Text) -> Finding:
    """Return the finding of a failed burn-in."""
    return Finding("burn_in", -1, "drain", 1.0, words)


def _counts(rule: str, counter: str) -> bool:
    if not rule.startswith(XID) or not counter.startswith(XID):
        return rule == counter
    code = counter.removeprefix(XID)
    number = int(code) if code.isdecimal() else 0
    if rule == "xid_fatal":
        return number in XID_FATAL
    return number not in XID_FATAL and number not in XID_OF_PROGRAMS


def _level(rule: HealthRule, amount: float) -> Level:
    if rule.drain is not None and amount >= rule.drain:
        return "drain"
    return "warn" if rule.warn is not None and amount >= rule.warn else "ok"


def _words(rule: HealthRule, device: int, amount: float) -> Text:
    count, hours = round(amount), rule.window_h
    match rule.counter:
        case "ecc_uncorrected":
            return plural(
                "Device {device}: {count} memory error that ECC could not correct, within {hours} h",
                "Device {device}: {count} memory errors that ECC could not correct, within {hours} h",
                device=device,
                count=count,
                hours=hours,
            )
        case "ecc_corrected":
            return plural(
                "Device {device}: {count} corrected memory error within {hours} h",
                "Device {device}: {count} corrected memory errors within {hours} h",
                device=device,
                count=count,
                hours=hours,
            )
        case "xid_fatal":
            return plural(
                "Device {device}: {count} Xid error of failing hardware within {hours} h",
                "Device {device}: {count} Xid errors of failing hardware within {hours} h",
                device=device,
                count=count,
                hours=hours,
            )
        case "link_errors":
            return plural(
                "Device {device}: {count} error of its links to other devices within {hours} h",
                "Device {device}: {count} errors of its links to other devices within {hours} h",
                device=device,
                count=count,
                hours=hours,
            )
        case "throttled_s":
            return text(
                "Device {device} slowed itself down for {minutes} min within {hours} h",
                device=device,
                minutes=round(amount / 60),
                hours=hours,
            )
    return plural(
        "Device {device}: {count} error ({counter}) within {hours} h",
        "Device {device}: {count} errors ({counter}) within {hours} h",
        device=device,
        count=count,
        counter=rule.counter,
        hours=hours,
    )


@dataclass(frozen=True, slots=True)
class NodeStanding:
    """What decides about a node."""

    drained: bool
    drained_by_rules: bool
    automatic: bool
    """Whether rules may drain it; an operator can switch that off."""
    checked_us: int = 0
    """Time of the last passed burn-in; 0: none."""
    has_failed_check: bool = False
    """Whether the newest burn-in failed; then only a passed one brings the node back."""
    drained_us: int = 0


Action = Literal["none", "drain", "take_back"]


def decide(
    standing: NodeStanding,
    findings: Iterable[Finding],
    history: CounterHistory,
    policy: HealthPolicy,
    now_us: int,
) -> Action:
    """Return what to do with a node. One that an operator drained is left alone."""
    broken = [finding for finding in findings if finding.level == "drain"]
    if not standing.drained:
        return "drain" if broken and standing.automatic and policy.drains else "none"
    if not standing.drained_by_rules:
        return "none"
    newest_us = max(history.newest_us, standing.drained_us)
    if standing.checked_us > newest_us:
        return "take_back"
    is_quiet = (
        not standing.has_failed_check
        and policy.quiet_s > 0
        and now_us - newest_us >= policy.quiet_s * US_PER_S
    )
    return "take_back" if is_quiet else "none"
