"""Energy that a job really used, from all its attempts, billed or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.compute.execution.metering import AttemptUsage
from pearlstreet.compute.execution.model import AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.tables import jobs
from pearlstreet.compute.jobs.views import find_job
from pearlstreet.energy.books import Total, reckoned
from pearlstreet.energy.use import Basis
from pearlstreet.ledger.invoices.energy import EnergyUse, Stretch
from pearlstreet.ledger.model import Unit, model_of
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

SHOWN = 200
"""Attempts listed one by one; the sum is of all."""


@dataclass(frozen=True, slots=True)
class AttemptEnergy:
    """Energy that one attempt used."""

    attempt_id: str
    model: str
    """Model of its accelerators; empty without any."""
    start_us: int
    end_us: int
    basis: Basis
    it_kwh: float | None


@dataclass(frozen=True, slots=True)
class JobEnergy:
    """Energy that a job (an array: all its elements) has used so far."""

    job_id: str
    used: EnergyUse
    attempts: Sequence[AttemptEnergy]


def job_energy(store: Store, actor: Actor, job_id: str) -> JobEnergy:
    """Return energy and carbon of a job so far. Raises NotFound."""

    def query(tx: Tx) -> JobEnergy:
        row = find_job(tx, actor, job_id)
        elements = sa.select(jobs.c.id).where(jobs.c.array_id == row["id"])
        mine = (
            attempts.c.owner_id == row["id"]
            if row["array_size"] is None
            else attempts.c.owner_id.in_(elements)
        )
        return energy_of_attempts(tx, row["id"], mine)

    return store.read(query)


def energy_of_attempts(tx: Tx, job_id: str, which: sa.ColumnElement[bool]) -> JobEnergy:
    """Return the energy of the attempts that meet a condition, inside a transaction."""
    ran = sa.select(attempts).where(which, attempts.c.started_us.is_not(None)).order_by(attempts.c.id)
    held = [found for row in tx.rows(ran) if (found := _held(row, tx.now_us)) is not None]
    total, listed = Total(), []
    for stretch, drawn, seen in reckoned(tx, held):
        total.add(stretch, drawn, seen)
        listed.append(
            AttemptEnergy(
                stretch.attempt_id,
                model_of(stretch.resource),
                stretch.start_us,
                stretch.end_us,
                drawn.basis if drawn else Basis.UNKNOWN,
                seen.it_kwh if drawn else None,
            )
        )
    return JobEnergy(job_id, total.result(), listed[:SHOWN])


def _held(row: Row, now_us: int) -> Stretch | None:
    """Return what an attempt held from its start until it ended, or until now."""
    running = row["state"] == AttemptState.RUNNING.value
    end_us = now_us if running else row["metered_until_us"] or row["ended_us"]
    if end_us is None or end_us <= row["started_us"]:
        return None
    usage = AttemptUsage(**row["usage"])
    has_cards = bool(usage.card_bp)
    return Stretch(
        tx_seq=None,
        attempt_id=row["id"],
        resource=f"accelerator/{usage.model}" if has_cards else "cpu",
        unit=Unit.CARD_BP if has_cards else Unit.CPU_MILLI,
        amount=usage.card_bp if has_cards else usage.cpu_milli,
        start_us=row["started_us"],
        end_us=end_us,
        is_refund=False,
    )
