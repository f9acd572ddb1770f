"""Routes of the calibration of estimates by finished runs and node benchmarks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from pearlstreet.api.models import Out
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.quotes import calibrating
from pearlstreet.quotes.calibrating import Factor
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/calibration", "quotes")


class FactorOut(Out):
    """Calibration factor of a device, or of a recipe on it."""

    device: str
    recipe: str
    """Name of the recipe; empty for the factor of the device itself."""
    org_id: str | None
    factor: float
    """Multiplier of estimated times; a recipe's factor applies on top of the device's."""
    deviation: float
    """Standard deviation of the factor's logarithm."""
    runs: int
    benches: int


class CalibrationOut(Out):
    """Calibration factors that the caller may see."""

    items: list[FactorOut]


class CalibrationResetOut(Out):
    """Number of deleted calibration entries."""

    lessons: int


def factor_out(factor: Factor) -> dict[str, object]:
    """Return a factor as a FactorOut."""
    return {
        "device": factor.device,
        "recipe": factor.recipe,
        "org_id": factor.org_id,
        "factor": factor.factor,
        "deviation": factor.deviation,
        "runs": factor.runs,
        "benches": factor.benches,
    }


@router.get("", tie=Tied.PROJECT, scope="nodes:read", responses={200: {"model": CalibrationOut}})
async def get_calibration(request: Request, actor: Actor = CurrentActor) -> Response:
    """List the calibration factors of devices and of the caller's recipes."""
    store = center_of(request).store
    return await query(
        lambda: calibrating.show_calibration(store, actor),
        lambda rows: {"items": [factor_out(row) for row in rows]},
    )


@router.delete("", scope="nodes:write", responses={200: {"model": CalibrationResetOut}})
async def reset_calibration(
    request: Request,
    actor: Actor = CurrentActor,
    device: Annotated[str | None, Query(max_length=80)] = None,
    recipe: Annotated[str | None, Query(max_length=120)] = None,
) -> Response:
    """Reset the calibration of a device, of a recipe, or all of it."""
    return await command(
        request,
        actor,
        lambda s: calibrating.reset_calibration(s, actor, device=device, recipe=recipe),
        lambda count: {"lessons": count},
    )
