"""Webhooks: where an organisation, or the operators, want events posted to. The secret is shown once and kept sealed."""

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
    """What is known of a webhook after it was made: never its secret. `kinds` empty: all."""

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
    """A fresh webhook: the only moment in which `secret` is readable."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to a webhook, or there."""

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
    """Have events posted to `url`. Raises InvalidInput for an address that may not be called."""
    store.read(lambda tx: find_owner(tx, actor, whose))  # nobody has our resolver look names up who may not
    checked = check_url(url, channels.resolve, private=channels.private)

    def command(tx: Tx) -> NewWebhook:
        owner = find_owner(tx, actor, whose)
        _check_kinds(owner, kinds)
        mine = webhooks.c.owner_id == owner.id
        if (tx.scalar(sa.select(sa.func.count()).where(mine)) or 0) >= PER_OWNER_MAX:
            raise Conflict(
                text("There are {count} webhooks already, which is the most", count=PER_OWNER_MAX),
                hint=text("pearl webhooks remove takes one away"),
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
    """The owner's webhooks, oldest first."""

    def query(tx: Tx) -> Sequence[Webhook]:
        owner = find_owner(tx, actor, whose)
        mine = sa.select(webhooks).where(webhooks.c.owner_id == owner.id)
        return [_webhook(row) for row in tx.rows(mine.order_by(webhooks.c.id))]

    return store.read(query)


def remove_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Webhook:
    """Post nothing there any more; what waits is dropped. Raises NotFound."""

    def command(tx: Tx) -> Webhook:
        owner, row = _find(tx, actor, whose, webhook)
        queue.give_up(tx, row["id"])
        tx.execute(sa.delete(webhooks).where(webhooks.c.id == row["id"]))
        _note(tx, actor, "webhook.remove", owner, row["id"], row["url"])
        return _webhook(row)

    return store.write(command)


def enable_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Webhook:
    """Post there again, after it was switched off. Raises NotFound."""

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
    """Keep it but post nothing there, until `enable_webhook`; what waits is dropped. Raises NotFound."""

    def command(tx: Tx) -> Webhook:
        owner, row = _find(tx, actor, whose, webhook)
        queue.give_up(tx, row["id"])
        tx.execute(sa.update(webhooks).where(webhooks.c.id == row["id"]).values(state="disabled"))
        _note(tx, actor, "webhook.disable", owner, row["id"], row["url"])
        return _webhook({**row, "state": "disabled"})

    return store.write(command)


def test_webhook(store: Store, actor: Actor, whose: str, webhook: str) -> Delivery:
    """Post a test there, the way that every event goes. Raises NotFound, Conflict while it is switched off."""

    def command(tx: Tx) -> Delivery:
        owner, row = _find(tx, actor, whose, webhook)
        if row["state"] != "active":
            raise Conflict(
                text("The webhook is switched off"), hint=text("pearl webhooks enable switches it on")
            )
        # A test is for somebody who waits: the receiver's rest does not hold it up.
        tx.execute(sa.update(webhooks).where(webhooks.c.id == row["id"]).values(rests_until_us=None))
        event = Event(
            tx.new_id("evt"), "test", owner.org_id, {"asked_by": actor.label.split(" ")[0]}, tx.now_us
        )
        made = queue.row_for(tx, event, WEBHOOK, row["id"])
        queue.queue(tx, [made])
        return _delivery({"last_error": None, "ended_us": None, **made})

    return store.write(command)


def list_deliveries(
    store: Store, actor: Actor, whose: str, webhook: str, *, before: str | None = None, limit: int = 100
) -> Sequence[Delivery]:
    """What was posted or waits, newest first; kept for seven days. Raises NotFound."""

    def query(tx: Tx) -> Sequence[Delivery]:
        _, row = _find(tx, actor, whose, webhook)
        found = queue.of_target(tx, row["id"], before=check_after(before, "dlv"), limit=limit)
        return [_delivery(item) for item in found]

    return store.read(query)


def get_delivery(store: Store, actor: Actor, whose: str, webhook: str, delivery: str) -> Delivery:
    """One of them. Raises NotFound."""

    def query(tx: Tx) -> Delivery:
        _, row = _find(tx, actor, whose, webhook)
        mine = (deliveries.c.id == delivery) & (deliveries.c.target_id == row["id"])
        found = tx.first(sa.select(deliveries).where(mine)) if is_id(delivery, "dlv") else None
        if found is None:
            raise NotFound(text("No delivery {delivery}", delivery=delivery[:60]))
        return _delivery(found)

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
            message = text("{kind} is no kind of notice here", kind=kind[:60])
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
