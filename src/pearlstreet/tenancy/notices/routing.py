"""Routing of outbox events to their recipients, as notices in inboxes, mails and webhook deliveries.

The rows for all recipients and the advance of the cursor are one transaction, so each event is routed exactly once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Standing
from pearlstreet.tenancy.notices import deliveries
from pearlstreet.tenancy.notices.deliveries import WEBHOOK, Event
from pearlstreet.tenancy.notices.kinds import KINDS, Audience, Channel, Kind, kind_of
from pearlstreet.tenancy.notices.owners import CENTER, Owner
from pearlstreet.tenancy.notices.preferences import Preferences, read_preferences
from pearlstreet.tenancy.notices.tables import notices, webhooks
from pearlstreet.tenancy.scopes import OPERATOR_ROLES, ORG_ROLES, OperatorRole, OrgRole
from pearlstreet.tenancy.tables import memberships, users

CONSUMER = "notices"
BATCH = 200
_ACTIVE = users.c.state == Standing.ACTIVE.value
_HEARING = [
    role.value for role, scopes in ORG_ROLES.items() if scopes & {kind.scope for kind in KINDS.values()}
]
"""Roles in an organisation that get some kind of notice to the organisation."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user who may get notices."""

    id: str
    email: str | None


@dataclass(frozen=True)
class Audiences:
    """All possible recipients of a batch of events, read once."""

    persons: Mapping[str, Person]
    """Users that events name, by id and by login name."""
    belongs: frozenset[tuple[str, str]]
    """Pairs (user id, organisation id) of members; former members get no notices of the organisation."""
    members: Mapping[str, Sequence[tuple[Person, OrgRole]]]
    operators: Sequence[tuple[Person, OperatorRole]]
    preferences: Mapping[str, Preferences]
    hooks: Mapping[str, Sequence[Row]]
    """Rows of active webhooks by owner id."""

    def people(self, kind: Kind, event: Event) -> list[Person]:
        """PURE: Return the users who may get a notice of the event."""
        if kind.audience is Audience.PERSON:
            person = self.persons.get(str(event.payload.get("user")))
            if person is None or (event.org_id is not None and (person.id, event.org_id) not in self.belongs):
                return []
            return [person]
        # An event to an organisation has no organisation if it is about, for example, a webhook of the operators.
        if kind.audience is Audience.CENTER or event.org_id is None:
            return [person for person, role in self.operators if kind.scope in OPERATOR_ROLES[role]]
        members = self.members.get(event.org_id, ())
        return [person for person, role in members if kind.scope in ORG_ROLES[role]]

    def owner(self, kind: Kind, event: Event) -> Owner | None:
        """PURE: Return the owner of the address and webhooks that also get the event, or None."""
        if kind.audience is Audience.CENTER:
            return Owner(CENTER)
        if event.org_id is not None:
            return Owner(event.org_id, event.org_id)
        return Owner(CENTER) if kind.audience is Audience.ORGANISATION else None


def route(store: Store, named: Collection[str] = ()) -> bool:
    """Route pending events, also to the center's `named` channels; returns True when more may be pending."""
    waiting = store.read(lambda tx: outbox.pending(tx, CONSUMER, limit=BATCH))
    if not waiting:
        return False

    def command(tx: Tx) -> int:
        pending = outbox.pending(tx, CONSUMER, limit=BATCH)
        events = [event for row in pending if (event := _event(tx, row)) is not None]
        if events:
            notify(tx, events, named)
        if pending:
            outbox.advance(tx, CONSUMER, int(pending[-1]["seq"]))
        return len(pending)

    return store.write(command) == BATCH


def notify(tx: Tx, events: Sequence[Event], named: Collection[str] = ()) -> None:
    """Write the notices and deliveries of the events for all recipients."""
    audiences = _audiences(tx, events)
    inboxes: list[dict[str, object]] = []
    mails: list[dict[str, Any]] = []
    posts: list[dict[str, Any]] = []
    mailed = frozenset((Channel.EMAIL.value, *named))
    for event in events:
        kind = KINDS[event.kind]
        for person in audiences.people(kind, event):
            chosen = audiences.preferences[person.id]
            channels = chosen.channels(kind)
            if Channel.INBOX in channels:
                inboxes.append(_inbox_row(tx, event, person))
            address = _address(chosen, person)
            if address is not None:
                mails += _mail_rows(tx, event, chosen, address, channels & mailed)
        owner = audiences.owner(kind, event)
        if owner is not None:
            chosen = audiences.preferences[owner.id]
            if chosen.email and chosen.confirmed:
                mails += _mail_rows(tx, event, chosen, chosen.email, chosen.channels(kind) & mailed)
            posts += [
                deliveries.row_for(tx, event, WEBHOOK, hook["id"])
                for hook in audiences.hooks.get(owner.id, ())
                if _wants(hook, event.kind)
            ]
    if inboxes:
        tx.execute(sa.insert(notices), _in_order(inboxes))
    mails = [
        row
        for channel in sorted(mailed)
        for row in _at_most_mails(tx, channel, [row for row in mails if row["channel"] == channel])
    ]
    posts = _at_most(posts, deliveries.posts_left(tx, {row["target_id"] for row in posts}))
    deliveries.queue(tx, _in_order([*mails, *posts]))


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with their ids reassigned in ascending order, because lists are ordered by id.

    New ids of the same millisecond are in random order.
    """
    ids = sorted(row["id"] for row in rows)
    return [row | {"id": fresh} for row, fresh in zip(rows, ids, strict=True)]


def _event(tx: Tx, row: Row) -> Event | None:
    kind = kind_of(row["topic"], row["payload"])
    if kind is None:
        return None
    return Event(tx.new_id("evt"), kind.name, row["org_id"], row["payload"], row["at_us"])


def _wants(hook: Row, kind: str) -> bool:
    return not hook["kinds"] or kind in hook["kinds"]


def _address(chosen: Preferences, person: Person) -> str | None:
    """Return the user's chosen address if it is confirmed, else the account's address."""
    return chosen.email if chosen.email and chosen.confirmed else person.email


def _inbox_row(tx: Tx, event: Event, person: Person) -> dict[str, object]:
    return {
        "id": tx.new_id("ntc"),
        "user_id": person.id,
        "event_id": event.id,
        "kind": event.kind,
        "org_id": event.org_id,
        "payload": dict(event.payload),
        "at_us": event.at_us,
    }


def _mail_rows(
    tx: Tx, event: Event, chosen: Preferences, address: str, channels: Collection[str]
) -> list[dict[str, Any]]:
    """Return a delivery to the address on each of the channels."""
    return [
        deliveries.row_for(tx, event, channel, chosen.owner.id, language=chosen.language, address=address)
        for channel in sorted(channels)
    ]


def _at_most_mails(tx: Tx, channel: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of one channel within the limit of each receiver."""
    return _at_most(rows, deliveries.mails_left(tx, {row["target_id"] for row in rows}, channel))


def _at_most(rows: Iterable[dict[str, Any]], left: dict[str, int]) -> list[dict[str, Any]]:
    """Return the first rows of each receiver, at most the number in `left`, which is counted down."""
    kept = []
    for row in rows:
        left[row["target_id"]] -= 1
        if left[row["target_id"]] >= 0:
            kept.append(row)
    return kept


def _audiences(tx: Tx, events: Sequence[Event]) -> Audiences:
    org_ids = {event.org_id for event in events if event.org_id is not None}
    persons, belongs = _named(
        tx, {str(event.payload["user"]) for event in events if event.payload.get("user")}
    )
    members = _members(tx, org_ids)
    operators = [
        (person, OperatorRole(role)) for person, role in _people(tx, users.c.operator_role.is_not(None))
    ]
    owners = {Owner(CENTER), *(Owner(org_id, org_id) for org_id in org_ids)}
    owners |= {Owner(person.id) for person in persons.values()}
    owners |= {Owner(person.id) for pairs in members.values() for person, _ in pairs}
    owners |= {Owner(person.id) for person, _ in operators}
    return Audiences(
        persons, belongs, members, operators, read_preferences(tx, owners), _hooks(tx, {CENTER, *org_ids})
    )


def _named(tx: Tx, named: Collection[str]) -> tuple[dict[str, Person], frozenset[tuple[str, str]]]:
    """Return the active users named in events, by id and by login name, and their (user id, organisation id) pairs."""
    if not named:
        return {}, frozenset()
    persons = {}
    for row in tx.rows(
        sa.select(users).where(sa.or_(users.c.id.in_(named), users.c.name.in_(named)), _ACTIVE)
    ):
        persons[row["id"]] = persons[row["name"]] = Person(row["id"], row["email"])
    query = sa.select(memberships.c.user_id, memberships.c.org_id)
    rows = tx.rows(query.where(memberships.c.user_id.in_({person.id for person in persons.values()})))
    return persons, frozenset((row["user_id"], row["org_id"]) for row in rows)


def _people(tx: Tx, condition: sa.ColumnElement[bool]) -> list[tuple[Person, Any]]:
    columns = (users.c.id, users.c.email, users.c.operator_role)
    rows = tx.rows(sa.select(*columns).where(condition, _ACTIVE).order_by(users.c.id))
    return [(Person(row["id"], row["email"]), row["operator_role"]) for row in rows]


def _members(tx: Tx, org_ids: Collection[str]) -> dict[str, list[tuple[Person, OrgRole]]]:
    members: dict[str, list[tuple[Person, OrgRole]]] = defaultdict(list)
    if org_ids:
        query = (
            sa.select(memberships.c.org_id, memberships.c.role, users.c.id, users.c.email)
            .join(users, users.c.id == memberships.c.user_id)
            .where(
                memberships.c.org_id.in_(org_ids),
                memberships.c.role.in_(_HEARING),
                _ACTIVE,
            )
            .order_by(users.c.id)
        )
        for row in tx.rows(query):
            members[row["org_id"]].append((Person(row["id"], row["email"]), OrgRole(row["role"])))
    return members


def _hooks(tx: Tx, owner_ids: Collection[str]) -> dict[str, list[Row]]:
    hooks: dict[str, list[Row]] = defaultdict(list)
    live = (webhooks.c.owner_id.in_(owner_ids)) & (webhooks.c.state == "active")
    for row in tx.rows(sa.select(webhooks).where(live).order_by(webhooks.c.id)):
        hooks[row["owner_id"]].append(row)
    return hooks
