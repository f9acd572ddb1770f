"""Preferences for notices: kinds, channels, language and e-mail address of an owner. An address must be confirmed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import LANGUAGES, text
from pearlstreet.store import audit
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.names import check_email
from pearlstreet.tenancy.notices import deliveries
from pearlstreet.tenancy.notices.kinds import KINDS, Audience, Channel, Kind
from pearlstreet.tenancy.notices.owners import CENTER, Owner, find_owner
from pearlstreet.tenancy.notices.tables import preferences
from pearlstreet.tenancy.tables import users

CODE_LIFE_US = 24 * 3600 * US_PER_S
CODE_TRIES = 5
CONFIRM = "address.confirm"
"""Kind of the mail with the confirmation code; it cannot be switched off."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """An owner's preferences. With `email` None mails go to a user's account address, and for other owners to no one."""

    owner: Owner
    language: str = "en"
    email: str | None = None
    confirmed: bool = False
    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def channels(self, kind: Kind) -> frozenset[str]:
        """Return the channels on which the owner gets a kind of notice. Only users have an inbox.

        A channel that was chosen before the center lost it is among them.
        """
        chosen: frozenset[str] = self.kinds.get(kind.name, kind.usual)
        return chosen if self.owner.is_person else chosen - {Channel.INBOX}


@dataclass(frozen=True, slots=True)
class Change:
    """Changes of preferences; None leaves a field unchanged. The `email` "" removes the owner's address."""

    language: str | None = None
    email: str | None = None
    kinds: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """New channels by kind; None restores the default channels."""


def get_preferences(store: Store, actor: Actor, whose: str) -> Preferences:
    """Return an owner's preferences. Raises NotFound, Forbidden."""
    return store.read(lambda tx: _read_with_account_email(tx, find_owner(tx, actor, whose)))


def set_preferences(
    store: Store, actor: Actor, whose: str, change: Change, named: Collection[str] = ()
) -> Preferences:
    """Change an owner's preferences. `named`: names of the center's channels beside inbox and e-mail.

    A new address is used after `confirm_address` got the code that is mailed to it.
    """
    _check(change, (*Channel, *named))

    def command(tx: Tx) -> Preferences:
        owner = find_owner(tx, actor, whose)
        row = _row(tx, owner)
        kinds = _merged(row["kinds"] if row else {}, change.kinds, owner)
        values: dict[str, object] = {"kinds": kinds, "updated_us": tx.now_us, "updated_by": actor.label}
        if change.language is not None:
            values["language"] = change.language
        if row is None:
            fresh = {"language": "en", "email": None, "code_tries": 0}
            tx.execute(sa.insert(preferences).values(owner_id=owner.id, **(fresh | values)))
        else:
            tx.execute(sa.update(preferences).where(preferences.c.owner_id == owner.id).values(**values))
        if change.email is not None:
            _set_address(tx, owner, change.email)
        audit.record(
            tx,
            actor=actor.label,
            action="notices.preferences",
            target=owner.id,
            org_id=owner.org_id,
            details={"kinds": kinds},
        )
        return _read_with_account_email(tx, owner)

    return store.write(command)


def confirm_address(store: Store, actor: Actor, whose: str, code: str) -> Preferences:
    """Confirm the address to which the code was mailed. Raises InvalidInput for a wrong code; it allows 5 tries."""
    counted = replace(store, claim=None).write(lambda tx: _count_try(tx, find_owner(tx, actor, whose)))

    def command(tx: Tx) -> Preferences:
        owner = find_owner(tx, actor, whose)
        row = _row(tx, owner)
        if not counted or row is None or not hmac.compare_digest(row["code_hash"] or "", _hash(code)):
            message = text("The code is wrong or has expired")
            hint = text("Set the address again to get another one")
            raise InvalidInput(message, problems=[Problem("code", message, hint=hint)])
        confirmed = {"email_confirmed_us": tx.now_us, "code_hash": None, "code_until_us": None}
        tx.execute(sa.update(preferences).where(preferences.c.owner_id == owner.id).values(**confirmed))
        return read_preferences(tx, [owner])[owner.id]

    return store.write(command)


def _count_try(tx: Tx, owner: Owner) -> bool:
    """Count a try before the code is compared; returns False when the code has expired or has no tries left."""
    mine = sa.update(preferences).where(preferences.c.owner_id == owner.id)
    live = mine.where(preferences.c.code_until_us > tx.now_us, preferences.c.code_tries < CODE_TRIES)
    taken = tx.execute(live.values(code_tries=preferences.c.code_tries + 1))
    return taken.rowcount == 1


def read_preferences(tx: Tx, owners: Collection[Owner]) -> dict[str, Preferences]:
    """Return the preferences of owners by owner id, with the defaults for owners that have set none."""
    by_owner = {owner.id: Preferences(owner) for owner in owners}
    by_id = {owner.id: owner for owner in owners}
    rows = tx.rows(sa.select(preferences).where(preferences.c.owner_id.in_(list(by_id)))) if by_id else []
    for row in rows:
        by_owner[row["owner_id"]] = Preferences(
            by_id[row["owner_id"]],
            row["language"],
            row["email"],
            row["email_confirmed_us"] is not None,
            {kind: frozenset(channels) for kind, channels in row["kinds"].items()},
        )
    return by_owner


def _read_with_account_email(tx: Tx, owner: Owner) -> Preferences:
    """Return an owner's preferences; a user's account address stands in for a missing address."""
    chosen = read_preferences(tx, [owner])[owner.id]
    if chosen.email or not owner.is_person:
        return chosen
    email = tx.scalar(sa.select(users.c.email).where(users.c.id == owner.id))
    return replace(chosen, email=email, confirmed=email is not None)


def _row(tx: Tx, owner: Owner) -> Row | None:
    return tx.first(sa.select(preferences).where(preferences.c.owner_id == owner.id))


def _set_address(tx: Tx, owner: Owner, email: str) -> None:
    """Store an unconfirmed address and mail it the code that confirms it."""
    own = sa.update(preferences).where(preferences.c.owner_id == owner.id)
    code = f"{int.from_bytes(tx.token_bytes(5), 'big') % 10**8:08d}" if email else ""
    tx.execute(
        own.values(
            email=email or None,
            email_confirmed_us=None,
            code_hash=_hash(code) if email else None,
            code_until_us=tx.now_us + CODE_LIFE_US if email else None,
            code_tries=0,
        )
    )
    if email:
        language = tx.scalar(sa.select(preferences.c.language).where(preferences.c.owner_id == owner.id))
        deliveries.mail(tx, CONFIRM, owner, email, str(language), {"code": code})


def _merged(
    kept: Mapping[str, list[str]], change: Mapping[str, Collection[str] | None], owner: Owner
) -> dict[str, list[str]]:
    """Return the stored channels with the change applied, by kind. Raises InvalidInput for an unknown kind."""
    merged = dict(kept)
    for kind, channels in change.items():
        if kind not in hearable(owner):
            message = text("{kind} is not a kind of notice", kind=kind[:60])
            hint = text("Kinds are: {kinds}", kinds=", ".join(hearable(owner)))
            raise InvalidInput(message, problems=[Problem(f"kinds.{kind[:60]}", message, hint=hint)])
        if channels is None:
            merged.pop(kind, None)
        else:
            merged[kind] = sorted(set(channels))
    return merged


def hearable(owner: Owner) -> list[str]:
    """Return the kinds of notices that an owner can get."""
    if owner.id == CENTER:
        return [name for name, kind in KINDS.items() if kind.audience is Audience.CENTER]
    if owner.is_person:
        return list(KINDS)
    return [name for name, kind in KINDS.items() if kind.audience is not Audience.CENTER and name != "test"]


def _check(change: Change, offered: Collection[str]) -> None:
    if change.language is not None and change.language not in LANGUAGES:
        message = text("The center does not support the language {language}", language=change.language[:20])
        hint = text("Languages are: {languages}", languages=", ".join(LANGUAGES))
        raise InvalidInput(message, problems=[Problem("language", message, hint=hint)])
    if change.email:
        check_email(change.email)
    for kind, channels in change.kinds.items():
        for channel in channels or ():
            if channel not in offered:
                message = text("{channel} is not a channel", channel=channel[:20])
                hint = text("Channels are: {channels}", channels=", ".join(offered))
                raise InvalidInput(message, problems=[Problem(f"kinds.{kind[:60]}", message, hint=hint)])


def _hash(code: str) -> str:
    return hashlib.sha256(code.strip().encode("utf-8", "replace")).hexdigest()
