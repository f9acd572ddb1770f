"""Faults of the simulated cluster: the effect of each kind, and the rules that decide when one is injected."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.engines.simulated.keyed_random import KeyedRandom


class Fault(StrEnum):
    """Kind of fault that the simulated engine can inject."""

    REQUEST_LOST = "request_lost"
    ACK_LOST = "ack_lost"
    DONE_TWICE = "done_twice"
    SLOW = "slow"
    REFUSES = "refuses"
    ERRORS = "errors"
    WRONG_STATE = "wrong_state"
    STATE_BACKWARDS = "state_backwards"
    ATTEMPT_VANISHES = "attempt_vanishes"
    ORPHAN_APPEARS = "orphan_appears"
    PARTIAL_GANG = "partial_gang"
    SCAN_TRUNCATED = "scan_truncated"
    SCAN_STALE = "scan_stale"
    EVENTS_LOST = "events_lost"
    LOG_REPEATS = "log_repeats"
    NODE_FLAPS = "node_flaps"
    DEVICES_SHRINK = "devices_shrink"
    DEVICE_FAILS = "device_fails"
    DEVICE_ERRORS = "device_errors"
    DEVICE_THROTTLES = "device_throttles"
    CLOCK_OFF = "clock_off"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table: the calls into which the fault can be injected, its effect and the meaning of `amount`."""

    methods: frozenset[str]
    effect: str
    amount: float = 0.0
    amount_means: str = ""


_ACTS = frozenset({"start", "stop", "forget"})
_ASKS = frozenset(
    {"probe", "scan", "observe", "nodes", "read_log", "read_metrics", "list_outputs", "read_output"}
)
_REPORTS = frozenset({"probe", "scan", "observe"})

FAULTS: Mapping[Fault, FaultKind] = {
    Fault.REQUEST_LOST: FaultKind(
        _ACTS | _ASKS, "The request never arrives: nothing is done, the answer is Unknown."
    ),
    Fault.ACK_LOST: FaultKind(_ACTS, "It is done, but the answer gets lost: Unknown."),
    Fault.DONE_TWICE: FaultKind(_ACTS, "The request arrives twice; the caller gets the second answer."),
    Fault.SLOW: FaultKind(_ACTS | _ASKS, "The call takes long.", 5.0, "seconds it takes"),
    Fault.REFUSES: FaultKind(
        frozenset({"start"}), "A new order is refused without a reason: nothing is started."
    ),
    Fault.ERRORS: FaultKind(
        _ACTS | _ASKS, "Several calls in a row fail with Retry: nothing is done.", 5.0, "calls in a burst"
    ),
    Fault.WRONG_STATE: FaultKind(_REPORTS, "A report claims that the attempt has just begun to start."),
    Fault.STATE_BACKWARDS: FaultKind(
        _REPORTS, "An attempt that was reported running or ended is reported one step back."
    ),
    Fault.ATTEMPT_VANISHES: FaultKind(_REPORTS, "The attempt is gone for good, as if never started."),
    Fault.ORPHAN_APPEARS: FaultKind(
        frozenset({"scan"}), "An attempt that was never ordered runs on one of the nodes."
    ),
    Fault.PARTIAL_GANG: FaultKind(
        frozenset({"start"}), "Half of the tasks start; the attempt waits for the rest until it is stopped."
    ),
    Fault.SCAN_TRUNCATED: FaultKind(frozenset({"scan"}), "The second half of the list is missing."),
    Fault.SCAN_STALE: FaultKind(frozenset({"scan"}), "The list of the previous call is returned again."),
    Fault.EVENTS_LOST: FaultKind(frozenset({"observe"}), "An observation says that nothing changed."),
    Fault.LOG_REPEATS: FaultKind(
        frozenset({"read_log"}),
        "Bytes before the requested offset are repeated; `next_offset` shows it.",
        100.0,
        "bytes that come again",
    ),
    Fault.NODE_FLAPS: FaultKind(
        frozenset({"nodes"}), "A node is missing from this answer; its attempts continue."
    ),
    Fault.DEVICES_SHRINK: FaultKind(
        frozenset({"nodes"}), "A node shows fewer devices than it has.", 1.0, "devices not shown"
    ),
    Fault.DEVICE_FAILS: FaultKind(
        frozenset({"nodes"}), "A device of the node breaks for good; attempts using it are lost."
    ),
    Fault.DEVICE_ERRORS: FaultKind(
        frozenset({"nodes"}),
        "A device of the node counts memory errors that ECC could not correct; its attempts continue.",
        1.0,
        "errors more",
    ),
    Fault.DEVICE_THROTTLES: FaultKind(
        frozenset({"nodes"}), "A device of the node begins to slow itself down, or ends it."
    ),
    Fault.CLOCK_OFF: FaultKind(
        _REPORTS, "Times in reports are wrong.", 3600.0, "seconds they are off (negative: in the past)"
    ),
}


@dataclass(frozen=True, slots=True)
class FaultRule:
    """When one kind of fault is injected. Only calls that match `methods` and `only` count."""

    fault: Fault
    probability: float = 1.0
    after: int = 0
    """Number of matching calls without a fault before the first."""
    times: int | None = None
    """Maximum number of injections; None: unlimited."""
    only: frozenset[str] = frozenset()
    """Attempt ids or node names to which the rule applies; empty: all."""
    methods: frozenset[str] = frozenset()
    """Engine methods to which the rule applies; empty: all methods of its kind."""
    between_s: tuple[float, float] | None = None
    """Interval, in seconds since the faults were set, in which the rule is active; None: always."""
    amount: float | None = None
    """Amount with the meaning `amount_means` of the kind; None: the kind's default."""

    @property
    def size(self) -> float:
        """The rule's amount, or the default of its kind."""
        return FAULTS[self.fault].amount if self.amount is None else self.amount


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Active rules; of several for one kind, the first that injects a fault applies."""

    rules: tuple[FaultRule, ...] = ()


def parse_faults(spec: str) -> FaultPlan:
    """Parse `ack_lost:0.1,node_flaps` into rules with a probability each (default 1). Raises InvalidInput."""
    rules = []
    for part in filter(None, (part.strip() for part in spec.split(","))):
        name, _, chance = part.partition(":")
        try:
            rule = FaultRule(Fault(name), probability=float(chance or 1))
        except ValueError:
            rule = None
        if rule is None or not 0 <= rule.probability <= 1:
            raise InvalidInput(
                text("{part} is not a fault and its probability", part=repr(part)),
                hint=text(
                    "Write for example {example}; faults: {names}",
                    example="ack_lost:0.1",
                    names=", ".join(Fault),
                ),
            )
        rules.append(rule)
    return FaultPlan(tuple(rules))


class FaultBook:
    """Decides for each call whether a fault is injected; the same plan, seed and calls give the same faults."""

    def __init__(self, plan: FaultPlan, random: KeyedRandom, now_us: int) -> None:
        self.plan = plan
        self._random = random
        self._set_us = now_us
        self._lock = threading.Lock()
        self._seen: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()
        self._by_key: Counter[tuple[int, str]] = Counter()

    def draw(self, fault: Fault, method: str, key: str, now_us: int) -> FaultRule | None:
        """Return the rule that injects `fault` into this call about attempt or node `key`, or None."""
        if not self.plan.rules or method not in FAULTS[fault].methods:
            return None
        for number, rule in enumerate(self.plan.rules):
            if (
                rule.fault is fault
                and self._is_active(rule, method, key, now_us)
                and self._count(number, rule, key)
            ):
                return rule
        return None

    def has(self, *faults: Fault) -> bool:
        """Return whether a rule for one of these faults is active."""
        return any(rule.fault in faults for rule in self.plan.rules)

    def _is_active(self, rule: FaultRule, method: str, key: str, now_us: int) -> bool:
        if (rule.only and key not in rule.only) or (rule.methods and method not in rule.methods):
            return False
        if rule.between_s is None:
            return True
        first, last = rule.between_s
        return first <= (now_us - self._set_us) / US_PER_S < last

    def _count(self, number: int, rule: FaultRule, key: str) -> bool:
        with self._lock:
            self._seen[number] += 1
            self._by_key[number, key] += 1
            if self._seen[number] <= rule.after or (
                rule.times is not None and self._struck[number] >= rule.times
            ):
                return False
            draw = self._random.uniform("fault", number, rule.fault, key, self._by_key[number, key])
            if draw >= rule.probability:
                return False
            self._struck[number] += 1
            return True
