"""Routes of the balance alert of an organisation."""

from __future__ import annotations

from fastapi import Request, Response

from pearlstreet.api.models import In, Out, Yuan, read_yuan, yuan_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, query
from pearlstreet.base.money import Money
from pearlstreet.ledger import alerts
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import get_org

router = SecuredRouter("/orgs/{org}/balance-alert", "credit")


class AlertOut(Out):
    """Threshold of the notice `balance.low`: it is sent when the available balance is at or below it."""

    below: Yuan


class AlertIn(In):
    """The threshold in yuan."""

    below: str


def _alert(found: Money) -> dict[str, object]:
    return {"below": yuan_of(found)}


@router.get("", scope="credit:read", responses={200: {"model": AlertOut}})
async def get_balance_alert(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """Get the threshold of the organisation's balance alert."""
    store = center_of(request).store
    return await query(lambda: alerts.get_alert(store, actor, get_org(store, actor, org).id), _alert)


@router.put("", scope="notices:write", responses={200: {"model": AlertOut}})
async def set_balance_alert(
    request: Request, org: str, body: AlertIn, actor: Actor = CurrentActor
) -> Response:
    """Set the threshold of the organisation's balance alert."""
    below = read_yuan(body.below, "below")

    def work(store: Store) -> Money:
        return alerts.set_alert(store, actor, get_org(store, actor, org).id, below)

    return await command(request, actor, work, _alert)
