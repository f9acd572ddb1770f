"""The folder of recorded decisions, written without blocking the planner's loop and limited by size and age."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from pearlstreet import __version__
from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import NotFound, PearlError
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text
from pearlstreet.compute.queueing.decisions.record import (
    HEADER_MAX,
    DecisionHeader,
    StoredDecision,
    pack,
    read_header,
    unpack,
)
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Plan
from pearlstreet.store.core import Store
from pearlstreet.store.files import write_atomic
from pearlstreet.store.sealing import Sealer

MODES = ("off", "sampled", "on")
_NAME = re.compile(r"dec_\d{16}_\d{1,12}")
SUFFIX = ".plan"
PENDING_MAX = 2
"""Number of decisions that may wait to be written; more are dropped and counted, to bound memory."""
log = structlog.get_logger("decisions")


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """Settings: which decisions are recorded, and for how long."""

    mode: str = "off"
    """One of `MODES`. `sampled`: at most one decision that changed something per `every_s`."""
    every_s: float = 60.0
    bytes_max: int = 256 << 20
    kept_s: float = 14 * 86_400
    beside: bool = True
    """Whether a separate thread writes them."""


@dataclass(slots=True)
class DecisionLog:
    """Records decisions and finds them again. Each process has one."""

    folder: Path
    settings: DecisionSettings
    dropped: int = 0
    _last_us: int = 0
    _pending: queue.Queue[Callable[[], None]] = field(default_factory=lambda: queue.Queue(PENDING_MAX))
    _writer: threading.Thread | None = None

    def take(
        self, store: Store, snapshot: Snapshot, config: PlannerConfig, answer: Plan, policy: int
    ) -> None:
        """Record a decision if it changed something and the sampling selects it."""
        resized = len(answer.resizes)
        if not (answer.placements or answer.preemptions or resized) or self.settings.mode == "off":
            return
        every_us = int(self.settings.every_s * US_PER_S)
        if self.settings.mode == "sampled" and snapshot.now_us < self._last_us + every_us:
            return
        self._last_us = snapshot.now_us
        header = DecisionHeader(
            id=f"dec_{snapshot.now_us:016d}_{snapshot.revision}",
            at_us=snapshot.now_us,
            policy=policy,
            waiting=snapshot.waiting.count,
            running=snapshot.running.count,
            nodes=snapshot.nodes.count,
            placed=len(answer.placements),
            preempted=len(answer.preemptions),
            resized=resized,
            program=__version__,
        )

        def write() -> None:
            self._write(pack(snapshot, config, answer, header, store.sealer), header, store.rng)

        if self.settings.beside:
            self._enqueue(write)
        else:
            write()

    def _enqueue(self, write: Callable[[], None]) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._work, name="decisions", daemon=True)
            self._writer.start()
        try:
            self._pending.put_nowait(write)
        except queue.Full:
            self.dropped += 1

    def _work(self) -> None:
        while True:
            write = self._pending.get()
            try:
                write()
            except (OSError, PearlError, ValueError) as error:
                log.error("decision not written", error=str(error))
            finally:
                self._pending.task_done()

    def flush(self) -> None:
        """Wait until all recorded decisions are written."""
        if self._writer is not None:
            self._pending.join()

    def _write(self, data: bytes, header: DecisionHeader, rng: Rng) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self.folder / f"{header.id}{SUFFIX}", data, rng)
        self.prune(header.at_us)

    def prune(self, now_us: int) -> None:
        """Delete decisions that are too old, then the oldest until the rest is within the size limit."""
        oldest_us = now_us - int(self.settings.kept_s * US_PER_S)
        left = 0
        for file in self._files():
            size = file.stat().st_size
            if int(file.name.split("_")[1]) < oldest_us or left + size > self.settings.bytes_max:
                file.unlink(missing_ok=True)
            else:
                left += size

    def _files(self) -> Sequence[Path]:
        """Return the files of decisions, newest first."""
        found = [file for file in self.folder.glob(f"dec_*{SUFFIX}") if _NAME.fullmatch(file.stem)]
        return sorted(found, key=lambda file: file.stem, reverse=True)

    def headers(self, *, before: str | None = None, limit: int = 100) -> Sequence[DecisionHeader]:
        """Return the headers of recorded decisions, newest first."""
        found: list[DecisionHeader] = []
        for file in self._files():
            if len(found) >= limit:
                break
            if before is not None and file.stem >= before:
                continue
            try:
                with file.open("rb") as start:
                    found.append(read_header(start.read(HEADER_MAX)))
            except (FileNotFoundError, PearlError):
                continue
        return found

    def read(self, decision_id: str, sealer: Sealer | None) -> StoredDecision:
        """Return one decision. Raises NotFound, Conflict if its file cannot be read."""
        absent = NotFound(
            text("There is no decision {decision}", decision=decision_id[:80]),
            hint=text("pearl decisions list shows those that are kept"),
        )
        if _NAME.fullmatch(decision_id) is None:
            raise absent
        try:
            data = (self.folder / f"{decision_id}{SUFFIX}").read_bytes()
        except FileNotFoundError:
            raise absent from None
        return unpack(data, sealer)
