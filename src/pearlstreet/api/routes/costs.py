"""Routes of a job's cost and of the usage behind it."""

from __future__ import annotations

from fastapi import Request, Response

from pearlstreet.api.energy_use import EnergyUseOut, energy_out
from pearlstreet.api.models import Out, Time, Yuan, time_of, words, yuan_of
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, query
from pearlstreet.energy.jobs import JobEnergy, job_energy
from pearlstreet.ledger.invoices.model import decimal_text, resource_label
from pearlstreet.ledger.spans import Use
from pearlstreet.services.jobs import JobCost, JobsService
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/jobs", "jobs")


class CostLineOut(Out):
    """Cost of one resource."""

    resource: str
    label: str
    quantity: str
    quantity_exact: str
    unit: str
    amount: Yuan


class CostOut(Out):
    """Charges of a job up to now, less refunds."""

    job_id: str
    total: Yuan
    price_per_hour: Yuan
    lines: list[CostLineOut]
    energy: EnergyUseOut


@router.get("/{job}/cost", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": CostOut}})
async def get_job_cost(
    request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor
) -> Response:
    """Get the charges of a job, or of all elements of an array, up to now."""
    language = language_of(request)

    def render(both: tuple[JobCost, JobEnergy]) -> dict[str, object]:
        found, energy = both
        return {
            "job_id": found.job_id,
            "total": yuan_of(found.total),
            "price_per_hour": yuan_of(found.hourly),
            "lines": [
                {
                    "resource": line.resource,
                    "label": resource_label(line.resource).render(language),
                    "quantity": decimal_text(line.quantity).replace(",", ""),
                    "quantity_exact": str(line.quantity),
                    "unit": line.unit.render(language),
                    "amount": yuan_of(line.amount),
                }
                for line in found.lines
            ],
            "energy": energy_out(energy.used, language),
        }

    return await query(lambda: (jobs.cost(actor, job), job_energy(jobs.store, actor, job)), render)


class SpanOut(Out):
    """A usage span: use of one resource from `start` to `end`."""

    source: str
    attempt_id: str
    resource: str
    sequence: int
    start: Time
    end: Time
    unit: str
    amount: int
    pflops: float | None
    pflops_basis: str
    price_version_id: str
    billable: bool
    why_not: str
    state: str
    charge_id: str | None


class Spans(Out):
    """Usage spans of a job, oldest first."""

    items: list[SpanOut]


def _span(use: Use, language: str) -> dict[str, object]:
    found = use.span
    return {
        "source": found.source,
        "attempt_id": found.external_id,
        "resource": found.resource,
        "sequence": found.sequence,
        "start": time_of(found.start_us),
        "end": time_of(found.end_us),
        "unit": found.unit,
        "amount": found.amount,
        "pflops": found.pflops,
        "pflops_basis": found.pflops_basis,
        "price_version_id": found.price_version_id,
        "billable": found.billable,
        "why_not": words(found.why_not, language) or "",
        "state": use.state,
        "charge_id": use.charge_id,
    }


@router.get("/{job}/usage", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Spans}})
async def list_job_usage(
    request: Request, job: str, jobs: JobsService, actor: Actor = CurrentActor
) -> Response:
    """List the usage spans of a job or of one element of an array."""
    language = language_of(request)
    return await query(
        lambda: jobs.list_spans(actor, job), lambda rows: {"items": [_span(row, language) for row in rows]}
    )
