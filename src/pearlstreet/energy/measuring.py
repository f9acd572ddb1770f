"""Records the measured energy of the accelerators of ended attempts while their engine still has the samples.

Goes through the changes of state behind a kept mark, so that each attempt is looked at once. What an engine does not
answer is tried again some times and then left: the energy of that attempt stays rated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.protocol import Engine, MetricSample
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.energy.tables import energy_measured
from pearlstreet.energy.use import measured_j
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop
from pearlstreet.store.tables import meta, state_events

MARK = "energy_measured_until"
"""Name in the table `meta` of the number of the last processed change of state."""
SOME = 500
"""Changes of state looked through in one step."""
BACK = 5_000
"""Changes of state before the first start that are looked at, too."""
TRIES = 5
PAGES_MOST = 100


def measure_loop(runtime: Runtime) -> Loop:
    """Return the loop that measures ended attempts."""
    return CycleLoop(name="measure_energy", cycle=_Measuring(runtime).cycle, interval_s=20.0)


@dataclass
class _Measuring:
    runtime: Runtime
    tries: dict[str, int] = field(default_factory=dict)

    def cycle(self, store: Store) -> bool:
        """Run one step; returns True when more attempts have already ended."""
        mark, last, rows = store.read(_ended)
        if last <= mark:
            return False
        found: list[Mapping[str, object]] = []
        for row in rows:
            samples = self._samples(row)
            if samples is None:
                return False  # samples are not readable now: try again later from the same row
            joules = measured_j(samples, row["started_us"], row["metered_until_us"], _devices(row))
            if joules is not None:
                found.append(
                    {
                        "attempt_id": row["id"],
                        "device_j": joules,
                        "start_us": row["started_us"],
                        "end_us": row["metered_until_us"],
                    }
                )
        store.write(lambda tx: _keep(tx, found, last))
        self.tries.clear()
        return last - mark >= SOME

    def _samples(self, row: Row) -> Sequence[MetricSample] | None:
        """Return all samples of an attempt; none when the engine has them no more. None: the engine does not answer now."""
        engine = self.runtime.engines.get(row["engine"])
        if engine is None:
            return ()
        found = _read_all(engine, row["id"])
        if found is None:
            self.tries[row["id"]] = self.tries.get(row["id"], 0) + 1
            return () if self.tries[row["id"]] >= TRIES else None
        return found


def _read_all(engine: Engine, attempt_id: str) -> Sequence[MetricSample] | None:
    found: list[MetricSample] = []
    since_us = 0
    for _ in range(PAGES_MOST):
        answer = engine.read_metrics(attempt_id, since_us=since_us)
        if isinstance(answer, Refused):
            return found
        if not isinstance(answer, Done):
            return None
        if not answer.value:
            break
        found += answer.value
        since_us = answer.value[-1].at_us
    return found


def _ended(tx: Tx) -> tuple[int, int, Sequence[Row]]:
    """Return the mark, how far this step looks, and the attempts with accelerators that ended between."""
    newest = int(tx.scalar(sa.select(sa.func.max(state_events.c.seq))) or 0)
    kept = tx.scalar(sa.select(meta.c.value).where(meta.c.name == MARK))
    mark = max(newest - BACK, 0) if kept is None else int(kept)
    last = min(newest, mark + SOME)
    query = (
        sa.select(attempts)
        .join(state_events, state_events.c.entity_id == attempts.c.id)
        .where(state_events.c.seq > mark, state_events.c.seq <= last)
        .where(state_events.c.to_state == AttemptState.ENDED.value)
        .where(attempts.c.started_us.is_not(None), attempts.c.metered_until_us > attempts.c.started_us)
    )
    rows = [row for row in tx.rows(query) if _devices(row)] if last > mark else []
    return mark, last, rows


def _devices(row: Row) -> Mapping[int, Sequence[int]]:
    """Rank → indices of its devices; nothing when it held a fraction of one: a sample is of the whole device."""
    found = {
        rank: [device["index"] for device in task["devices"]]
        for rank, task in enumerate(row["placement"]["tasks"])
        if task.get("devices")
    }
    fractions = any(
        not device.get("whole", True)
        for task in row["placement"]["tasks"]
        for device in task.get("devices", ())
    )
    return {} if fractions else found


def _keep(tx: Tx, found: Sequence[Mapping[str, object]], last: int) -> None:
    ids = [one["attempt_id"] for one in found]
    known = set(
        tx.execute(
            sa.select(energy_measured.c.attempt_id).where(energy_measured.c.attempt_id.in_(ids))
        ).scalars()
    )
    new = [one for one in found if one["attempt_id"] not in known]
    if new:
        tx.execute(sa.insert(energy_measured), new)
    if not tx.execute(sa.update(meta).where(meta.c.name == MARK).values(value=str(last))).rowcount:
        tx.execute(sa.insert(meta).values(name=MARK, value=str(last)))
