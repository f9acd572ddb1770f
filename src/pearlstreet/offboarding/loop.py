"""The loop that offboards tenants in phases. Each phase can be repeated, and the next one starts when it is complete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Unavailable
from pearlstreet.base.text import text
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.preparing import BUILDING, WANTED
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.service import cancel_job
from pearlstreet.compute.jobs.tables import jobs, preparations
from pearlstreet.energy.invoices import issue_final
from pearlstreet.ledger.funds import read_balance
from pearlstreet.offboarding import erasure
from pearlstreet.offboarding.archive import write_archive
from pearlstreet.offboarding.model import Closing, Phase
from pearlstreet.offboarding.service import FOLDER, TOPIC, alive, kept_archives, open_closings
from pearlstreet.offboarding.tables import closings
from pearlstreet.storage.levels import end_metering
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop, RowGuard
from pearlstreet.store.transitions import transition
from pearlstreet.tenancy.authentication import changed
from pearlstreet.tenancy.model import ORG_STATES, SYSTEM, Standing, StandingEvent
from pearlstreet.tenancy.tables import orgs

LOOP = "close_orgs"
CANCEL_AT_ONCE = 200


def closing_loop(runtime: Runtime) -> Loop:
    """Return the loop that offboards closing tenants."""
    return CycleLoop(name=LOOP, cycle=OffboardingLoop(runtime).cycle, hints=(TOPIC,), interval_s=2.0)


@dataclass(slots=True)
class OffboardingLoop:
    """Advances all open closings as far as possible, and deletes archives whose retention has ended."""

    runtime: Runtime
    fresh_s: float = erasure.FRESH_S
    guard: RowGuard = field(default_factory=lambda: RowGuard(LOOP))

    def cycle(self, store: Store) -> bool:
        """Run one cycle; returns False, because no further cycle is due at once."""
        kept_us = int(self.runtime.settings.kept_s * US_PER_S)
        now_us = store.clock.now_us()
        for old in store.read(lambda tx: kept_archives(tx, now_us - kept_us)):
            self.guard.run(store, f"{old.org_id} archive", partial(self._drop_archive, store, old))
        open_ones = store.read(open_closings)
        self.guard.keep([closing.org_id for closing in open_ones])
        for closing in open_ones:
            self.guard.run(store, closing.org_id, partial(self._advance, store, closing))
        return False

    def _advance(self, store: Store, closing: Closing) -> None:
        """Run the phases in order, until one has to wait or the server stops."""
        steps: Mapping[Phase, Callable[[Store, Closing], bool]] = {
            Phase.STOPPING: self._stop,
            Phase.SETTLING: self._settle,
            Phase.ARCHIVING: self._archive,
            Phase.ERASING: self._erase,
        }
        order = list(steps)
        for phase in order[order.index(closing.phase) :]:
            if self.runtime.stopping.is_set() or not steps[phase](store, closing):
                return

    def _stop(self, store: Store, closing: Closing) -> bool:
        """Cancel its jobs where that was asked for; done when nothing of it runs."""
        if closing.cancel_jobs:
            query = sa.select(jobs.c.id).where(*alive(closing.org_id), jobs.c.cancel_requested.is_(False))
            for job_id in store.read(lambda tx: tx.execute(query.limit(CANCEL_AT_ONCE)).scalars().all()):
                cancel_job(store, SYSTEM, job_id)
                # Cancelling an array marks its elements only; the array is marked here so that it is not selected again.
                wished = sa.update(jobs).where(jobs.c.id == job_id).values(cancel_requested=True)
                store.write(partial(_run, wished))
        if store.read(lambda tx: _busy(tx, closing.org_id)):
            return False
        store.write(lambda tx: _to(tx, closing.org_id, Phase.STOPPING, Phase.SETTLING))
        return True

    def _settle(self, store: Store, closing: Closing) -> bool:
        """Charge the last use and issue the remaining invoices."""

        def command(tx: Tx) -> None:
            end_metering(tx, closing.org_id)
            invoices = issue_final(tx, SYSTEM, closing.org_id)
            balance_micro = read_balance(tx, closing.org_id).balance.micro
            values = {"invoices": [invoice.number for invoice in invoices], "balance_micro": balance_micro}
            _to(tx, closing.org_id, Phase.SETTLING, Phase.ARCHIVING, **values)

        store.write(command)
        return True

    def _archive(self, store: Store, closing: Closing) -> bool:
        """Write the archive and sync it to disk, before anything is erased."""
        name = f"{closing.slug}-{closing.org_id}.tar.gz"
        folder = self.runtime.folders.root / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        size, digest = self._write(store, closing.org_id, folder / name)
        values = {"archive": name, "archive_bytes": size, "archive_sha256": digest}
        store.write(lambda tx: _to(tx, closing.org_id, Phase.ARCHIVING, Phase.ERASING, **values))
        return True

    def _write(self, store: Store, org_id: str, target: Path) -> tuple[int, str]:
        part = target.with_name(target.name + ".part")
        size, digest = 0, hashlib.sha256()
        try:
            with part.open("wb") as file:
                for chunk in write_archive(store, self.runtime, org_id):
                    if self.runtime.stopping.is_set():
                        raise Unavailable(text("The server is ending"))
                    size += len(chunk)
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return size, digest.hexdigest()

    def _erase(self, store: Store, closing: Closing) -> bool:
        """Erase the files, which the rows name; then erase the rows and close the tenant in one transaction."""
        erasure.erase_files(store, self.runtime, closing.org_id, fresh_s=self.fresh_s)

        def command(tx: Tx) -> None:
            erasure.erase_rows(tx, closing.org_id)
            _to(tx, closing.org_id, Phase.ERASING, Phase.CLOSED, closed_us=tx.now_us)
            transition(tx, orgs, closing.org_id, ORG_STATES, Standing.CLOSING, StandingEvent.ERASE)
            ended = closing.org_id
            audit.record(tx, actor=SYSTEM.label, action="org.closed", target=ended, org_id=ended)
            changed(tx)

        store.write(command)
        return True

    def _drop_archive(self, store: Store, closing: Closing) -> None:
        if closing.archive is None:
            return
        (self.runtime.folders.root / FOLDER / closing.archive.name).unlink(missing_ok=True)
        gone = sa.update(closings).where(closings.c.id == closing.org_id)
        store.write(partial(_run, gone.values(archive=None)))


def _run(statement: sa.Update, tx: Tx) -> None:
    tx.execute(statement)


def _busy(tx: Tx, org_id: str) -> bool:
    """Return whether a job, an attempt or a preparation of the organisation has not ended."""
    running = attempts.c.state != AttemptState.ENDED.value
    building = preparations.c.state.in_((WANTED, BUILDING))
    queries = (
        sa.select(jobs.c.id).where(*alive(org_id)),
        sa.select(attempts.c.id).where(attempts.c.org_id == org_id, running),
        sa.select(preparations.c.id).where(preparations.c.org_id == org_id, building),
    )
    return any(tx.scalar(query.limit(1)) is not None for query in queries)


def _to(tx: Tx, org_id: str, before: Phase, after: Phase, **values: object) -> None:
    """Change the phase of a closing from `before` to `after`; has no effect if it is no longer `before`."""
    unchanged = (closings.c.id == org_id) & (closings.c.phase == before.value)
    tx.execute(sa.update(closings).where(unchanged).values(phase=after.value, **values))
