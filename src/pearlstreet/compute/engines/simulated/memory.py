"""What the simulated cluster remembers, in memory and, when it has a file, on disk first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pearlstreet.base.outcome import Done, Outcome, Retry, Unknown
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.protocol import AttemptReport
from pearlstreet.compute.engines.simulated import attempt_timeline as courses
from pearlstreet.compute.engines.simulated.attempt_timeline import AttemptTimeline, Kept
from pearlstreet.compute.engines.simulated.journal import VERSION, Journal

COMPACT_SLACK_LINES = 2000
LATER_S = 5.0
WHOLE_NODE = -1
"""In place of a device's index: the machine itself."""
T = TypeVar("T")


class Attempt:
    """One attempt the cluster remembers, and the last report made of it."""

    __slots__ = ("kept", "report", "timeline", "valid_until_us")

    def __init__(self, kept: Kept, timeline: AttemptTimeline) -> None:
        self.kept = kept
        self.timeline = timeline
        self.report: AttemptReport | None = None
        self.valid_until_us = -1

    def report_at(self, now_us: int) -> AttemptReport:
        """As seen at `now_us`; made anew only when something in it has changed."""
        if self.report is None or now_us >= self.valid_until_us:
            self.report = courses.report(self.kept, self.timeline, now_us)
            self.valid_until_us = courses.valid_until_us(self.timeline, now_us)
        return self.report


class Memory:
    """Attempts, withdrawn ids and broken parts. Every change is journalled before it is taken up.

    The caller holds its own lock around every method but `durable`.
    """

    def __init__(self, seed: bytes, path: Path | None) -> None:
        """Raises ConfigurationError when the file cannot be read or another engine holds it."""
        self.seed = seed
        self.attempts: dict[str, Attempt] = {}
        self.live: dict[str, Attempt] = {}
        """Those not yet told to have ended."""
        self.withdrawn: set[str] = set()
        """Stopped before they were ever started."""
        self.broken: set[tuple[str, int]] = set()
        self.newest_us = 0
        """No moment told may be earlier: a clock set back does not undo what was seen."""
        self._journal = Journal(path) if path else None
        if self._journal is not None:
            self._restore(self._journal)

    def add(self, kept: Kept, timeline: AttemptTimeline) -> Outcome[None]:
        """Take up a new attempt. On file, but only `durable` makes it safe from power loss."""

        def take() -> None:
            self.attempts[kept.attempt_id] = self.live[kept.attempt_id] = Attempt(kept, timeline)

        return self._write({"op": "start", **courses.to_json(kept, timeline)}, take)

    def bend(self, attempt: Attempt, timeline: AttemptTimeline) -> Outcome[None]:
        """Give an attempt another course."""

        def take() -> None:
            attempt.timeline, attempt.report = timeline, None

        if timeline == attempt.timeline:
            return Done(None)
        record = {"op": "bend", "id": attempt.kept.attempt_id, "course": courses.timeline_to_json(timeline)}
        return self._write(record, take)

    def withdraw(self, attempt_id: str) -> Outcome[None]:
        """Never start this attempt."""
        return self._write({"op": "withdraw", "id": attempt_id}, lambda: self.withdrawn.add(attempt_id))

    def drop(self, attempt_id: str) -> Outcome[None]:
        """Lose every trace of an attempt."""

        def take() -> None:
            self.attempts.pop(attempt_id, None)
            self.live.pop(attempt_id, None)
            self.withdrawn.discard(attempt_id)

        done = self._write({"op": "forget", "id": attempt_id}, take)
        self._compact_if_due()
        return done

    def break_part(self, node: str, index: int) -> Outcome[None]:
        """A device (or WHOLE_NODE) does not work from now on."""
        return self._write(
            {"op": "break", "node": node, "index": index}, lambda: self.broken.add((node, index))
        )

    def repair(self) -> Outcome[None]:
        """Everything works again."""
        return self._write({"op": "repair"}, self.broken.clear)

    def note_ended(self, attempts: list[Attempt], now_us: int) -> None:
        """Keep the moment at which ends were first told, lest a clock that is set back un-ends them after a restart."""
        over = [attempt for attempt in attempts if now_us >= attempt.timeline.ends_us]
        told = [attempt for attempt in over if self.live.pop(attempt.kept.attempt_id, None) is not None]
        if told:
            self._write({"op": "now", "us": now_us}, lambda: None)

    def durable(self, value: T) -> Outcome[T]:
        """`value`, once everything written so far is safe from power loss."""
        if self._journal is not None:
            try:
                self._journal.sync()
            except OSError as error:
                return Unknown(_cannot_write(error))
        return Done(value)

    def close(self) -> None:
        """Let go of the file."""
        if self._journal is not None:
            self._journal.close()

    def _write(self, record: Mapping[str, Any], take: Callable[[], object]) -> Outcome[None]:
        if self._journal is not None:
            try:
                self._journal.append(record)
            except OSError as error:
                return Retry(LATER_S, _cannot_write(error))
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
        self._compact_if_due()

    def _replay(self, record: Mapping[str, Any]) -> None:
        match record["op"]:
            case "start":
                kept, timeline = courses.from_json(record)
                self.attempts[kept.attempt_id] = Attempt(kept, timeline)
                self.newest_us = max(self.newest_us, timeline.accepted_us)
            case "bend":
                self.attempts[record["id"]].timeline = courses.timeline_from_json(record["course"])
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
        """Rewrite a file that is mostly history; when the disk has no room for that, it just goes on growing."""
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
            yield {"op": "start", **courses.to_json(attempt.kept, attempt.timeline)}
        for name in sorted(self.withdrawn):
            yield {"op": "withdraw", "id": name}
        for node, index in sorted(self.broken):
            yield {"op": "break", "node": node, "index": index}


def _cannot_write(error: OSError) -> Text:
    return text("The simulated cluster cannot write its state: {error}", error=str(error))
