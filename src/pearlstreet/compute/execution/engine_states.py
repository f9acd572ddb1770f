"""Whether each engine answers, since when, and what it last failed with: kept in memory by the inventory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.model import NodeReport

SILENT_S = 15.0
"""Seconds without an answer after which an engine's nodes are unavailable to new work."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """State of one engine as its inventory sees it. Times are in µs since 1970."""

    answering: bool | None = None
    """Whether it answered the last time; None: not asked yet since the server started."""
    since_us: int | None = None
    """Time since which `answering` holds."""
    inventory_us: int | None = None
    """Time of the last inventory that it answered."""
    error: Text | None = None
    """What it last failed with, also if it answers again."""
    error_us: int | None = None


class EngineStates:
    """States of all engines by name. Thread-safe; empty after a restart, until the first inventory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, EngineState] = {}
        self._reports: dict[str, tuple[NodeReport, ...]] = {}

    def state(self, engine: str) -> EngineState:
        """Return the state of an engine."""
        return self._states.get(engine, EngineState())

    def reports(self) -> Mapping[str, NodeReport]:
        """Return the nodes of all engines as the last inventory saw them, with their sensor readings, by name."""
        with self._lock:
            return {report.name: report for seen in self._reports.values() for report in seen}

    def note_answer(self, engine: str, now_us: int, reports: Sequence[NodeReport] = ()) -> None:
        """Note that an engine told its nodes."""
        with self._lock:
            old = self.state(engine)
            since_us = old.since_us if old.answering else now_us
            self._states[engine] = replace(old, answering=True, since_us=since_us, inventory_us=now_us)
            self._reports[engine] = tuple(reports)

    def note_failure(self, engine: str, reason: Text, now_us: int) -> None:
        """Note that an engine did not tell its nodes, and why."""
        with self._lock:
            old = self.state(engine)
            since_us = old.since_us if old.answering is False else now_us
            self._states[engine] = replace(
                old, answering=False, since_us=since_us, error=reason, error_us=now_us
            )
            self._reports.pop(engine, None)  # readings of before would hide that its nodes are unhealthy

    def is_silent(self, engine: str, now_us: int) -> bool:
        """Return whether an engine has not answered for so long that its nodes are unavailable."""
        state = self.state(engine)
        if state.answering is not False or state.since_us is None:
            return False
        return now_us - state.since_us >= SILENT_S * US_PER_S


def silence_reason(engine: str) -> Text:
    """Return why the nodes of a silent engine are unhealthy."""
    return text("The engine {engine} does not answer", engine=engine)
