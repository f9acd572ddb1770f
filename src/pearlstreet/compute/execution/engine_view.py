"""What an engine's attempts do, kept up to date with one observation a cycle instead of a probe for each attempt."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import AttemptReport, Engine, Observation, TaskState

COMPLETE_EVERY_S = 30.0
"""Seconds after which everything is observed anew, in case an engine did not tell of a change."""


class EngineView:
    """Latest reports of the attempts of one engine, and which of them have yet to be compared with their rows. Thread-safe.

    It is a cache: a new one begins with a complete observation.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._guard = threading.Lock()
        self._asked = 0
        """Number of observations begun."""
        self._merged = 0
        """Number of the newest observation whose reports are here."""
        self._cursor = ""
        self._complete_us = 0
        self._reports: dict[str, AttemptReport] = {}
        self._pending: set[str] = set()
        self._over: set[str] = set()
        """Attempts that have ended here and in their rows, so that complete observations do not bring them back."""

    def refresh(self, clock: Clock) -> int | None:
        """Observe, and return the time (µs since 1970) at which the reports were true; None if the engine did not answer."""
        asked_us = clock.now_us()
        with self._guard:
            self._asked += 1
            number = self._asked
            is_due = not 0 <= asked_us - self._complete_us < COMPLETE_EVERY_S * US_PER_S
            cursor = "" if is_due else self._cursor
        answer = self.engine.observe(cursor)
        if not isinstance(answer, Done):
            return None
        with self._guard:
            if number > self._merged:  # else a later question was answered earlier, and its reports are newer
                self._merged = number
                self._merge(answer.value)
                self._cursor = answer.value.cursor
                if answer.value.is_complete:
                    self._complete_us = asked_us
        return asked_us

    def _merge(self, seen: Observation) -> None:
        gone = set(seen.gone)
        if seen.is_complete:
            told = {report.attempt_id for report in seen.reports}
            gone |= self._reports.keys() - told
            self._over &= told
        for report in seen.reports:
            known = self._reports.get(report.attempt_id)
            if report.attempt_id not in self._over and not _same(known, report):
                self._reports[report.attempt_id] = report
                self._pending.add(report.attempt_id)
        for attempt_id in gone:
            self._over.discard(attempt_id)
            if self._reports.pop(attempt_id, None) is not None:
                self._pending.add(attempt_id)

    def tell(self, report: AttemptReport) -> None:
        """Add what a probe found of an attempt of which the engine did not tell."""
        with self._guard:
            if not _same(self._reports.get(report.attempt_id), report):
                self._reports[report.attempt_id] = report
                self._pending.add(report.attempt_id)

    @property
    def completed_us(self) -> int:
        """Time of the last complete observation, in µs since 1970; 0: none yet."""
        return self._complete_us

    def report(self, attempt_id: str) -> AttemptReport | None:
        """Return the latest report of an attempt; None if the engine did not tell of it, or told that it is gone."""
        with self._guard:
            return self._reports.get(attempt_id)

    def pending(self) -> Mapping[str, AttemptReport | None]:
        """Return the attempts whose change is not yet in their rows, each with its report; None: gone."""
        with self._guard:
            return {attempt_id: self._reports.get(attempt_id) for attempt_id in self._pending}

    def expect(self, attempt_ids: Iterable[str]) -> None:
        """Compare these attempts, too, if the engine does not tell of them."""
        with self._guard:
            self._pending |= {attempt_id for attempt_id in attempt_ids if attempt_id not in self._reports}

    def settle(self, judged: Mapping[str, AttemptReport | None]) -> None:
        """Note attempts whose rows agree with these reports; one that has changed again stays pending."""
        with self._guard:
            for attempt_id, report in judged.items():
                if self._reports.get(attempt_id) is report:
                    self._pending.discard(attempt_id)

    def drop(self, attempt_ids: Collection[str]) -> None:
        """Note attempts whose rows have ended, or that have none."""
        with self._guard:
            for attempt_id in attempt_ids:
                report = self._reports.get(attempt_id)
                self._pending.discard(attempt_id)
                if report is not None and report.state is TaskState.EXITED:
                    del self._reports[attempt_id]
                    self._over.add(attempt_id)


def _same(known: AttemptReport | None, report: AttemptReport) -> bool:
    """Return whether a report tells nothing new beside use."""
    return known is not None and (
        (known.state, known.started_us, known.ended_us, known.end_reason, _places(known))
        == (report.state, report.started_us, report.ended_us, report.end_reason, _places(report))
    )


def _places(report: AttemptReport) -> list[tuple[object, ...]]:
    return [(task.node, task.devices, task.is_ready, task.restarts) for task in report.tasks]
