"""State of the simulated cluster, in memory and, if it has a file, in a journal that is written first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pearlstreet.base.outcome import Done, Outcome, Retry, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.change_log import ChangeLog
from pearlstreet.compute.engines.protocol import AttemptReport
from pearlstreet.compute.engines.simulated import attempt_timeline
from pearlstreet.compute.engines.simulated.attempt_timeline import AttemptTimeline, Kept
from pearlstreet.compute.engines.simulated.journal import VERSION, Journal

COMPACT_SLACK_LINES = 2000
LATER_S = 5.0
WHOLE_NODE = -1
"""Value in place of a device index that stands for the whole machine."""
T = TypeVar("T")


class Attempt:
    """One attempt of the cluster, with its last report as a cache."""

    __slots__ = ("kept", "report", "timeline", "valid_until_us")

    def __init__(self, kept: Kept, timeline: AttemptTimeline) -> None:
        self.kept = kept
        self.timeline = timeline
        self.report: AttemptReport | None = None
        self.valid_until_us = -1

    def report_at(self, now_us: int) -> AttemptReport:
        """Return the report at `now_us`; computed again only after its content has changed."""
        if self.report is None or now_us >= self.valid_until_us:
            self.report = attempt_timeline.report(self.kept, self.timeline, now_us)
            self.valid_until_us = attempt_timeline.valid_until_us(self.timeline, now_us)
        return self.report


class Memory:
    """Attempts, withdrawn ids and broken parts. Every change is written to the journal before it is applied.

    The caller holds a lock around every method except `durable`.
    """

    def __init__(self, seed: bytes, path: Path | None, now_us: int) -> None:
        """Raises ConfigurationError when the file cannot be read or another engine holds it."""
        self.seed = seed
        self.attempts: dict[str, Attempt] = {}
        self.live: dict[str, Attempt] = {}
        """Attempts whose end has not been reported yet."""
        self.waiting: dict[str, Attempt] = {}
        """Attempts that wait for machines, in the order of their acceptance."""
        self.withdrawn: set[str] = set()
        """Ids of attempts that were stopped before their start."""
        self.broken: set[tuple[str, int]] = set()
        """Broken parts as (node, device index or WHOLE_NODE)."""
        self.newest_us = 0
        """Latest time reported; later reports are never earlier, even if the clock is set back."""
        self.changes = ChangeLog(now_us)
        self.version = 0
        """Number of changes so far."""
        self._due: list[tuple[int, str]] = []
        """Heap of (time, attempt id): when attempts start and end by themselves."""
        self._journal = Journal(path) if path else None
        if self._journal is not None:
            self._restore(self._journal)

    def add(self, kept: Kept, timeline: AttemptTimeline) -> Outcome[None]:
        """Add a new attempt. It is written to the journal; only `durable` makes it survive a power failure."""

        def take() -> None:
            self.attempts[kept.attempt_id] = self.live[kept.attempt_id] = Attempt(kept, timeline)
            self._expect_changes(kept.attempt_id)

        return self._write({"op": "start", **attempt_timeline.to_json(kept, timeline)}, take)

    def set_timeline(self, attempt: Attempt, timeline: AttemptTimeline) -> Outcome[None]:
        """Replace the timeline of an attempt."""

        def take() -> None:
            attempt.timeline, attempt.report = timeline, None
            self._expect_changes(attempt.kept.attempt_id)

        if timeline == attempt.timeline:
            return Done(None)
        record = {
            "op": "bend",
            "id": attempt.kept.attempt_id,
            "course": attempt_timeline.timeline_to_json(timeline),
        }
        return self._write(record, take)

    def place(self, attempt: Attempt, kept: Kept, timeline: AttemptTimeline) -> Outcome[None]:
        """Give a waiting attempt the machines that `kept` names."""

        def take() -> None:
            attempt.kept, attempt.timeline, attempt.report = kept, timeline, None
            self._expect_changes(kept.attempt_id)

        return self._write({"op": "place", **attempt_timeline.to_json(kept, timeline)}, take)

    def withdraw(self, attempt_id: str) -> Outcome[None]:
        """Record that this attempt must never start."""
        return self._write({"op": "withdraw", "id": attempt_id}, lambda: self.withdrawn.add(attempt_id))

    def drop(self, attempt_id: str) -> Outcome[None]:
        """Delete every record of an attempt."""

        def take() -> None:
            self.attempts.pop(attempt_id, None)
            self.live.pop(attempt_id, None)
            self.waiting.pop(attempt_id, None)
            self.withdrawn.discard(attempt_id)
            self.changes.note(attempt_id)

        done = self._write({"op": "forget", "id": attempt_id}, take)
        self._compact_if_due()
        return done

    def break_part(self, node: str, index: int) -> Outcome[None]:
        """Record that a device (or WHOLE_NODE) is broken."""
        return self._write(
            {"op": "break", "node": node, "index": index}, lambda: self.broken.add((node, index))
        )

    def repair(self) -> Outcome[None]:
        """Record that no device or node is broken any more."""
        return self._write({"op": "repair"}, self.broken.clear)

    def note_ended(self, attempts: list[Attempt], now_us: int) -> None:
        """Record the time at which ends are first reported, so that a clock set back does not undo them after a restart."""
        over = [attempt for attempt in attempts if now_us >= attempt.timeline.ends_us]
        newly_ended = [
            attempt for attempt in over if self.live.pop(attempt.kept.attempt_id, None) is not None
        ]
        if newly_ended:
            self._write({"op": "now", "us": now_us}, lambda: None)

    def note_changes(self, now_us: int) -> None:
        """Record in `changes` which attempts have started or ended by now."""
        while self._due and self._due[0][0] <= now_us:
            _, attempt_id = heapq.heappop(self._due)
            self.changes.note(attempt_id)

    def _expect_changes(self, attempt_id: str) -> None:
        attempt = self.attempts[attempt_id]
        timeline = attempt.timeline
        if timeline.is_pending:
            self.waiting[attempt_id] = attempt
        else:
            self.waiting.pop(attempt_id, None)
        self.changes.note(attempt_id)
        for due_us in attempt_timeline.moments(timeline):
            heapq.heappush(self._due, (due_us, attempt_id))

    def durable(self, value: T) -> Outcome[T]:
        """Return `value` after syncing the journal, so that all earlier records survive a power failure."""
        if self._journal is not None:
            try:
                self._journal.sync()
            except OSError as error:
                return Unknown(_cannot_write(error))
        return Done(value)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def _write(self, record: Mapping[str, object], take: Callable[[], object]) -> Outcome[None]:
        if self._journal is not None:
            try:
                self._journal.append(record)
            except OSError as error:
                return Retry(LATER_S, _cannot_write(error))
        self.version += 1
        take()
        return Done(None)

    def _restore(self, journal: Journal) -> None:
        records = journal.load()
        if not records:
            journal.rewrite(self._records())
            return
        self.seed = bytes.fromhex(records[0]["seed"])
        for record in records:
            self._replay(record)
        self.live = {
            name: attempt
            for name, attempt in self.attempts.items()
            if self.newest_us < attempt.timeline.ends_us
        }
        for attempt_id in self.live:
            self._expect_changes(attempt_id)
        self._compact_if_due()

    def _replay(self, record: Mapping[str, Any]) -> None:
        match record["op"]:
            case "start":
                kept, timeline = attempt_timeline.from_json(record)
                self.attempts[kept.attempt_id] = Attempt(kept, timeline)
                self.newest_us = max(self.newest_us, timeline.accepted_us)
            case "bend":
                self.attempts[record["id"]].timeline = attempt_timeline.timeline_from_json(record["course"])
            case "place":
                kept, timeline = attempt_timeline.from_json(record)
                self.attempts[kept.attempt_id] = Attempt(kept, timeline)
                self.newest_us = max(self.newest_us, timeline.accepted_us)
            case "withdraw":
                self.withdrawn.add(record["id"])
            case "forget":
                self.attempts.pop(record["id"], None)
                self.withdrawn.discard(record["id"])
            case "break":
                self.broken.add((record["node"], record["index"]))
            case "repair":
                self.broken.clear()
            case "now":
                self.newest_us = max(self.newest_us, record["us"])

    def _compact_if_due(self) -> None:
        """Rewrite a journal that is mostly history; if the disk is full, it stays as it is and grows on."""
        journal = self._journal
        needed = len(self.attempts) + len(self.withdrawn)
        if journal is None or journal.lines <= 3 * needed + COMPACT_SLACK_LINES:
            return
        try:
            journal.rewrite(self._records())
        except OSError:
            return

    def _records(self) -> Iterator[Mapping[str, Any]]:
        yield {"op": "seed", "version": VERSION, "seed": self.seed.hex()}
        yield {"op": "now", "us": self.newest_us}
        for attempt in self.attempts.values():
            yield {"op": "start", **attempt_timeline.to_json(attempt.kept, attempt.timeline)}
        for name in sorted(self.withdrawn):
            yield {"op": "withdraw", "id": name}
        for node, index in sorted(self.broken):
            yield {"op": "break", "node": node, "index": index}


def _cannot_write(error: OSError) -> Text:
    return text("The simulated cluster cannot write its state: {error}", error=str(error))
