"""Routes of the webhooks of organisations and of the center."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack

from fastapi import Depends, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of, words
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routing import CurrentActor, RouteAccess, SecuredRouter, center_of, command, query
from pearlstreet.base.urls import URL_MAX
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor, login_of
from pearlstreet.tenancy.notices import hooks as service
from pearlstreet.tenancy.notices.hooks import Delivery, NewWebhook, Webhook
from pearlstreet.tenancy.notices.owners import CENTER

orgs_router = SecuredRouter("/orgs/{org}/webhooks", "webhooks")
center_router = SecuredRouter("/center/webhooks", "webhooks")


class WebhookIn(In):
    """The address and the kinds of notices of a webhook."""

    url: str = Field(max_length=2 * URL_MAX)
    kinds: list[str] = Field(
        default_factory=list, max_length=100, description="Kinds of notices; empty: all of them"
    )


class WebhookOut(Out):
    """A webhook without its secret."""

    id: str
    org_id: str | None
    url: str
    kinds: list[str]
    state: Literal["active", "disabled"]
    created: Time
    created_by: str
    failures: int
    failing_since: Time | None
    last_error: str | None
    last_success: Time | None


class NewWebhookOut(WebhookOut):
    """A new webhook. `secret` signs the deliveries and is shown only once."""

    secret: str


class Webhooks(Out):
    """Webhooks, oldest first."""

    items: list[WebhookOut]


class DeliveryOut(Out):
    """Delivery of one event to a webhook."""

    id: str
    event_id: str
    kind: str
    state: Literal["due", "delivered", "given_up"]
    tries: int
    last_error: str | None
    created: Time
    ended: Time | None
    next_try: Time | None


def _webhook(found: Webhook, language: str) -> dict[str, object]:
    return {
        "id": found.id,
        "org_id": found.org_id,
        "url": found.url,
        "kinds": list(found.kinds),
        "state": found.state,
        "created": time_of(found.created_us),
        "created_by": login_of(found.created_by),
        "failures": found.failures,
        "failing_since": time_of(found.failing_since_us),
        "last_error": words(found.last_error, language),
        "last_success": time_of(found.last_success_us),
    }


def _delivery(found: Delivery, language: str) -> dict[str, object]:
    return {
        "id": found.id,
        "event_id": found.event_id,
        "kind": found.kind,
        "state": found.state,
        "tries": found.tries,
        "last_error": words(found.last_error, language),
        "created": time_of(found.created_us),
        "ended": time_of(found.ended_us),
        "next_try": time_of(found.due_us) if found.state == "due" else None,
    }


def _orgs(org: str) -> str:
    return org


def _centers() -> str:
    return CENTER


def _webhook_routes(
    router: SecuredRouter, whose_it_is: Callable[..., str], owner: str, **access: Unpack[RouteAccess]
) -> None:
    """Mount the same routes for an organisation or the center; `owner` is part of their operation ids."""
    whose_dependency = Depends(whose_it_is)
    place = "/center" if owner == "Center" else "/orgs/{org}"

    @router.get("", **access, operation=f"list{owner}Webhooks", responses={200: {"model": Webhooks}})
    async def webhooks(
        request: Request, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """List the webhooks."""
        store, language = center_of(request).store, language_of(request)
        return await query(
            lambda: service.list_webhooks(store, actor, whose),
            lambda rows: {"items": [_webhook(row, language) for row in rows]},
        )

    @router.post(
        "",
        **access,
        operation=f"create{owner}Webhook",
        location=place + "/webhooks/{id}",
        status_code=201,
        responses={201: {"model": NewWebhookOut}},
    )
    async def add_webhook(
        request: Request, body: WebhookIn, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Create a webhook. Its secret is shown only once."""
        language, channels = language_of(request), center_of(request).channels

        def work(store: Store) -> NewWebhook:
            return service.add_webhook(store, actor, channels, whose, body.url, body.kinds)

        def render(made: NewWebhook) -> dict[str, object]:
            return _webhook(made.webhook, language) | {"secret": made.secret}

        return await command(request, actor, work, render, status=201)

    @router.delete(
        "/{webhook}", **access, operation=f"delete{owner}Webhook", responses={200: {"model": WebhookOut}}
    )
    async def remove_webhook(
        request: Request, webhook: str, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Delete a webhook and drop its pending deliveries."""
        language = language_of(request)
        return await command(
            request,
            actor,
            lambda store: service.remove_webhook(store, actor, whose, webhook),
            lambda found: _webhook(found, language),
        )

    @router.post(
        "/{webhook}/enable",
        **access,
        operation=f"enable{owner}Webhook",
        responses={200: {"model": WebhookOut}},
    )
    async def enable_webhook(
        request: Request, webhook: str, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Enable a webhook that was disabled after failures."""
        language = language_of(request)
        return await command(
            request,
            actor,
            lambda store: service.enable_webhook(store, actor, whose, webhook),
            lambda found: _webhook(found, language),
        )

    @router.post(
        "/{webhook}/test",
        **access,
        operation=f"test{owner}Webhook",
        status_code=202,
        responses={202: {"model": DeliveryOut}},
    )
    async def test_webhook(
        request: Request, webhook: str, actor: Actor = CurrentActor, whose: str = whose_dependency
    ) -> Response:
        """Send a test event. The returned delivery shows its result later."""
        language = language_of(request)
        return await command(
            request,
            actor,
            lambda store: service.test_webhook(store, actor, whose, webhook),
            lambda found: _delivery(found, language),
            status=202,
        )

    @router.get(
        "/{webhook}/deliveries",
        **access,
        operation=f"list{owner}WebhookDeliveries",
        responses={200: {"model": Page[DeliveryOut]}},
    )
    async def deliveries(
        request: Request,
        webhook: str,
        actor: Actor = CurrentActor,
        whose: str = whose_dependency,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        """List the deliveries of a webhook, newest first. They are kept for seven days."""
        store, before, language = center_of(request).store, read_cursor(cursor), language_of(request)
        return await query(
            lambda: service.list_deliveries(store, actor, whose, webhook, before=before, limit=limit + 1),
            lambda rows: page(rows, limit, lambda row: row.id, lambda row: _delivery(row, language)),
        )

    @router.get(
        "/{webhook}/deliveries/{delivery}",
        **access,
        operation=f"get{owner}WebhookDelivery",
        responses={200: {"model": DeliveryOut}},
    )
    async def one_delivery(
        request: Request,
        webhook: str,
        delivery: str,
        actor: Actor = CurrentActor,
        whose: str = whose_dependency,
    ) -> Response:
        """Get a delivery of a webhook."""
        store, language = center_of(request).store, language_of(request)
        return await query(
            lambda: service.get_delivery(store, actor, whose, webhook, delivery),
            lambda found: _delivery(found, language),
        )


_webhook_routes(orgs_router, _orgs, "Org", scope="notices:write")
_webhook_routes(center_router, _centers, "Center", scope="notices:write", at_center=True)
