"""Webhooks of organisations and of the operators, to which events are posted. Their secrets are stored encrypted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Problem
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx, must_be_sealed
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.names import check_after
from pearlstreet.tenancy.notices import deliveries as queue
from pearlstreet.tenancy.notices.deliveries import WEBHOOK, Event
from pearlstreet.tenancy.notices.owners import CENTER, Owner, find_owner
from pearlstreet.tenancy.notices.posting import SECRET_BYTES, check_url, new_secret
from pearlstreet.tenancy.notices.preferences import hearable
from pearlstreet.tenancy.notices.sending import Channels
from pearlstreet.tenancy.notices.tables import deliveries, webhooks

PER_OWNER_MAX = 20


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook without its secret. Empty `kinds` means all kinds of events."""

    id: str
    org_id: str | None
    url: str
    kinds: Sequence[str]
    state: str
    created_us: int
    created_by: str
    failures: int
    failing_since_us: int | None
    last_error: Text | None
    last_success_us: int | None


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A new webhook with its secret, which cannot be read again later."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Delivery of one event to a webhook."""

    id: str
    event_id: str
    kind: str
    state: str
    tries: int
    last_error: Text | None
    created_us: int
    ended_us: int | None
    due_us: int | None


def add_webhook(
    store: Store, actor: Actor, channels: Channels, whose: str, url: str, kinds: Collection[str] = ()
) -> NewWebhook:
    """Create a webhook for `url`. Raises InvalidInput for an address that the SSRF guard refuses."""
    store.read(lambda tx: find_owner(tx, actor, whose))  # check rights before the center resolves the host
    checked = check_url(url, channels.resolve, private=channels.private)

    def command(tx: Tx) -> NewWebhook:
        owner = find_owner(tx, actor, whose)
        _check_kinds(owner, kinds)
        mine = webhooks.c.owner_id == owner.id
        if (tx.scalar(sa.select(sa.func.count()).where(mine)) or 0) >= PER_OWNER_MAX:
            raise Conflict(
                text("There are {count} webhooks already, which is the limit", count=PER_OWNER_MAX),
                hint=text("Remove one with: pearl webhooks remove"),
            )
        webhook_id, secret = tx.new_id("whk"), new_secret(tx.token_bytes(SECRET_BYTES))
        row = {
            "id": webhook_id,
            "owner_id": owner.id,
            "url": str(checked.url),
            "kinds": sorted(set(kinds)),
            "secret": must_be_sealed(tx).seal(secret.encode(), f"webhook {webhook_id}"),
            "state": "active",
            "created_us": tx.now_us,
            "created_by": actor.label,
            "failures": 0,
            "failing_since_us": None,
            "last_error": None,
            "last_success_us": None,
        }
        tx.execute(sa.insert(webhooks).values(**row))
        _note(tx, actor, "webhook.add", owner, webhook_id, str(checked.url))
        return NewWebhook(_webhook(row), secret)

    return store.write(command)


def list_webhooks(store: Store, actor: Actor, whose: str) -> Sequence[Webhook]:
    """Return the owner's webhooks, oldest first."""

    def query(tx: Tx) -> Sequence[Webhook]:
        owner = find_owner(tx, actor, whose)
        mine = sa.select(webhooks).where(webhooks.c.owner_id == owner.id)
        return [_webhook(row) for row in tx.rows(mine.order_by(webhooks.c.id))]

    return store.read(query)


def remove_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Webhook:
    """Delete a webhook and give up its due deliveries. Raises NotFound."""

    def command(tx: Tx) -> Webhook:
        owner, row = _find(tx, actor, whose, webhook)
        queue.give_up(tx, row["id"])
        tx.execute(sa.delete(webhooks).where(webhooks.c.id == row["id"]))
        _note(tx, actor, "webhook.remove", owner, row["id"], row["url"])
        return _webhook(row)

    return store.write(command)


def enable_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Webhook:
    """Switch a webhook on again. Raises NotFound."""

    def command(tx: Tx) -> Webhook:
        owner, row = _find(tx, actor, whose, webhook)
        fresh = {
            "state": "active",
            "failures": 0,
            "failing_since_us": None,
            "rests_until_us": None,
            "last_error": None,
        }
        tx.execute(sa.update(webhooks).where(webhooks.c.id == row["id"]).values(**fresh))
        _note(tx, actor, "webhook.enable", owner, row["id"], row["url"])
        return _webhook({**row, **fresh})

    return store.write(command)


def disable_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Webhook:
    """Switch a webhook off until `enable_webhook`, and give up its due deliveries. Raises NotFound."""

    def command(tx: Tx) -> Webhook:
        owner, row = _find(tx, actor, whose, webhook)
        queue.give_up(tx, row["id"])
        tx.execute(sa.update(webhooks).where(webhooks.c.id == row["id"]).values(state="disabled"))
        _note(tx, actor, "webhook.disable", owner, row["id"], row["url"])
        return _webhook({**row, "state": "disabled"})

    return store.write(command)


def test_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Delivery:
    """Queue a test event for a webhook. Raises NotFound, or Conflict while the webhook is switched off."""

    def command(tx: Tx) -> Delivery:
        owner, row = _find(tx, actor, whose, webhook)
        if row["state"] != "active":
            raise Conflict(
                text("The webhook is switched off"), hint=text("Switch it on with: pearl webhooks enable")
            )
        # The user waits for the result of a test, so the back-off of a failing receiver is ended.
        tx.execute(sa.update(webhooks).where(webhooks.c.id == row["id"]).values(rests_until_us=None))
        event = Event(
            tx.new_id("evt"), "test", owner.org_id, {"asked_by": actor.label.split(" ")[0]}, tx.now_us
        )
        delivery = queue.row_for(tx, event, WEBHOOK, row["id"])
        queue.queue(tx, [delivery])
        return _delivery({"last_error": None, "ended_us": None, **delivery})

    return store.write(command)


def list_deliveries(
    store: Store, actor: Actor, whose: str, webhook: str, *, before: str | None = None, limit: int = 100
) -> Sequence[Delivery]:
    """Return the deliveries of a webhook in the last seven days, newest first. Raises NotFound."""

    def query(tx: Tx) -> Sequence[Delivery]:
        _, row = _find(tx, actor, whose, webhook)
        rows = queue.of_target(tx, row["id"], before=check_after(before, "dlv"), limit=limit)
        return [_delivery(item) for item in rows]

    return store.read(query)


def get_delivery(store: Store, actor: Actor, whose: str, webhook: str, delivery: str) -> Delivery:
    """Return one delivery of a webhook. Raises NotFound."""

    def query(tx: Tx) -> Delivery:
        _, row = _find(tx, actor, whose, webhook)
        same = (deliveries.c.id == delivery) & (deliveries.c.target_id == row["id"])
        delivery_row = tx.first(sa.select(deliveries).where(same)) if is_id(delivery, "dlv") else None
        if delivery_row is None:
            raise NotFound(text("No delivery {delivery}", delivery=delivery[:60]))
        return _delivery(delivery_row)

    return store.read(query)


def _find(tx: Tx, actor: Actor, whose: str, webhook: str) -> tuple[Owner, Row]:
    owner = find_owner(tx, actor, whose)
    mine = (webhooks.c.id == webhook) & (webhooks.c.owner_id == owner.id)
    row = tx.first(sa.select(webhooks).where(mine)) if is_id(webhook, "whk") else None
    if row is None:
        raise NotFound(text("No webhook {webhook}", webhook=webhook[:60]))
    return owner, row


def _check_kinds(owner: Owner, kinds: Collection[str]) -> None:
    known = hearable(owner)
    for kind in kinds:
        if kind not in known:
            message = text("{kind} is not a kind of notice", kind=kind[:60])
            hint = text("Kinds are: {kinds}", kinds=", ".join(known))
            raise InvalidInput(message, problems=[Problem("kinds", message, hint=hint)])


def _note(tx: Tx, actor: Actor, action: str, owner: Owner, target: str, url: str) -> None:
    audit.record(
        tx, actor=actor.label, action=action, target=target, org_id=owner.org_id, details={"url": url}
    )


def _webhook(row: Row) -> Webhook:
    return Webhook(
        id=row["id"],
        org_id=None if row["owner_id"] == CENTER else row["owner_id"],
        url=row["url"],
        kinds=tuple(row["kinds"]),
        state=row["state"],
        created_us=row["created_us"],
        created_by=row["created_by"],
        failures=row["failures"],
        failing_since_us=row["failing_since_us"],
        last_error=from_json(row["last_error"]) if row["last_error"] else None,
        last_success_us=row["last_success_us"],
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        event_id=row["event_id"],
        kind=row["kind"],
        state=row["state"],
        tries=row["tries"],
        last_error=from_json(row["last_error"]) if row["last_error"] else None,
        created_us=row["created_us"],
        ended_us=row["ended_us"],
        due_us=row["due_us"],
    )
