"""Commands and queries about invitations, the only way for an existing account to become a member.

An invitation reveals nothing about accounts. Login names are public; for an e-mail address the response is the same
whether or not an account has it, and only the address receives the code without which the invitation cannot be answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import Conflict, NotFound, TooMany, Unavailable
from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy import credentials
from pearlstreet.tenancy.grants import require_role
from pearlstreet.tenancy.invitation_records import (
    end_invitation,
    is_open,
    read_invitation,
    read_invitations,
)
from pearlstreet.tenancy.members import (
    choose_default,
    insert_member,
    is_member,
    operator_conflict,
    read_memberships,
    require_person,
)
from pearlstreet.tenancy.model import (
    LEFT,
    Actor,
    Invitation,
    InvitationState,
    Membership,
    Organisation,
    Standing,
)
from pearlstreet.tenancy.names import LOGIN, check_email
from pearlstreet.tenancy.notices import deliveries
from pearlstreet.tenancy.notices.deliveries import EMAIL, Event
from pearlstreet.tenancy.notices.tables import deliveries as deliveries_table
from pearlstreet.tenancy.notices.tables import preferences
from pearlstreet.tenancy.orgs import find_org
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.tables import invitations, orgs, users

DAY_US = 86_400 * US_PER_S
LIFE_US = 14 * DAY_US
PENDING_MAX = 100
"""Largest number of pending invitations of one organisation."""
PER_DAY_MAX = 50
"""Largest number of invitations by one organisation in 24 h, including withdrawn ones; prevents bulk mail."""
PER_INVITEE_MAX = 3
"""Largest number of invitations by one organisation to one invitee in 7 days (`PER_INVITEE_US`)."""
PER_INVITEE_US = 7 * DAY_US
REST_US = 30 * DAY_US
"""Time in µs for which an organisation cannot invite again after the invitee declined."""
MAILS_PER_DAY = 3
"""Largest number of invitations mailed to one address in 24 h; further ones are stored, but not mailed."""
LISTED_MAX = 500

STATE_WORDS = {
    InvitationState.PENDING: "pending",
    InvitationState.ACCEPTED: "accepted",
    InvitationState.DECLINED: "declined",
    InvitationState.WITHDRAWN: "withdrawn",
    InvitationState.EXPIRED: "expired",
}
RECEIVED, ANSWERED = "invitation.received", "invitation.answered"
"""Topics of the events for the invited person and for the owners."""
MAILED = "invitation.mailed"
"""Kind of the mail that contains an invitation's code."""


def invite(
    store: Store, actor: Actor, org: str, invitee: str, role: OrgRole = OrgRole.MEMBER, *, has_mail: bool
) -> Invitation:
    """Invite a login name or e-mail address to a role in the organisation, for 14 days.

    A pending invitation with the same role is returned unchanged; one with another role is replaced. `has_mail` says
    whether the center sends mail. Raises NotFound for an unknown login name, Conflict for a member or an operator account,
    TooMany beyond the limits, Unavailable for an e-mail address if the center sends no mail, Forbidden for a role with
    scopes that the actor's key lacks.
    """
    by_mail = "@" in invitee
    if by_mail:
        invitee = str(check_email(invitee)).lower()
        if not has_mail:
            raise Unavailable(
                text("This center sends no mail, so it cannot invite e-mail addresses"),
                hint=text("Invite by login name: pearl orgs invite USER"),
            )

    def command(tx: Tx) -> Invitation:
        owner = find_org(tx, actor, org, "users:write")
        require_role(actor, owner.id, role)
        user = None if by_mail else _find_invitee(tx, owner, invitee)
        pending = read_invitation(
            tx, invitations.c.org_id == owner.id, invitations.c.invitee == invitee, is_open(tx)
        )
        if pending is not None and pending.role is role:
            return pending
        _check_limits(tx, owner, invitee)
        if pending is not None:
            end_invitation(tx, pending, InvitationState.WITHDRAWN, actor.label, "withdraw")
        return _create(tx, actor, owner, invitee, None if user is None else str(user["id"]), role)

    return store.write(command)


def list_invitations(
    store: Store, actor: Actor, org: str, *, ended: bool = False, limit: int = LISTED_MAX
) -> Sequence[Invitation]:
    """Return the pending invitations of an organisation, newest first; with `ended` also those of the last 90 days."""

    def query(tx: Tx) -> Sequence[Invitation]:
        owner = find_org(tx, actor, org, "users:write")
        conditions = [invitations.c.org_id == owner.id] + ([] if ended else [is_open(tx)])
        return read_invitations(tx, *conditions, limit=limit)

    return store.read(query)


def withdraw_invitation(store: Store, actor: Actor, org: str, invitation: str) -> Invitation:
    """Withdraw a pending invitation of the organisation. Raises NotFound, or Conflict when it is not pending."""

    def command(tx: Tx) -> Invitation:
        owner = find_org(tx, actor, org, "users:write")
        found = _find(tx, invitation, invitations.c.org_id == owner.id)
        _check_pending(found)
        end_invitation(tx, found, InvitationState.WITHDRAWN, actor.label, "withdraw")
        return _find(tx, invitation, invitations.c.org_id == owner.id)

    return store.write(command)


def list_own_invitations(store: Store, actor: Actor) -> Sequence[Invitation]:
    """Return the invitations that the actor can answer, newest first."""

    def query(tx: Tx) -> Sequence[Invitation]:
        require_person(tx, actor)
        return read_invitations(tx, _is_for(tx, actor), is_open(tx), _org_is_open(), limit=LISTED_MAX)

    return store.read(query)


def claim_invitation(store: Store, actor: Actor, code: str) -> Invitation:
    """Assign an invitation that was sent by mail to the actor. Raises NotFound for a wrong or used code."""
    parsed = credentials.parse(code.strip())

    def command(tx: Tx) -> Invitation:
        require_person(tx, actor)
        _refuse_operator(actor)
        row = None
        if parsed is not None and parsed.kind == credentials.INVITATION:
            row = tx.first(sa.select(invitations).where(invitations.c.id == parsed.row_id, is_open(tx)))
        kept = row["code_hash"] if row is not None else None
        if parsed is None or kept is None or not credentials.is_right(parsed.secret, kept):
            raise NotFound(
                text("The code of the invitation is wrong, used or expired"),
                hint=text("Ask the organisation for another invitation"),
            )
        mine = sa.update(invitations).where(invitations.c.id == parsed.row_id)
        tx.execute(mine.values(user_id=actor.user_id, code_hash=None))
        found = _find(tx, parsed.row_id, invitations.c.user_id == actor.user_id)
        audit.record(tx, actor=actor.label, action="invitation.claim", target=found.id)
        return found

    return store.write(command)


def accept_invitation(store: Store, actor: Actor, invitation: str, *, as_default: bool = False) -> Membership:
    """Make the actor a member with the offered role; with `as_default` the organisation becomes the actor's default.

    Raises NotFound, or Conflict when the invitation has ended, the organisation is not active, or the actor is a member.
    """

    def command(tx: Tx) -> Membership:
        require_person(tx, actor)
        _refuse_operator(actor)
        found = _find(tx, invitation, _is_for(tx, actor))
        _check_pending(found)
        _check_active(tx, found)
        if is_member(tx, actor.user_id, found.org_id):
            raise Conflict(text("You belong to {org} already", org=found.org_slug))
        end_invitation(tx, found, InvitationState.ACCEPTED, actor.label, "accept")
        insert_member(tx, actor, actor.user_id, found.org_id, found.role)
        if as_default:
            choose_default(tx, actor, found.org_id)
        _tell_owners(tx, found, "accepted")
        return _membership(tx, actor, found)

    return store.write(command)


def decline_invitation(store: Store, actor: Actor, invitation: str) -> Invitation:
    """Decline an invitation. Raises NotFound, or Conflict when it has ended."""

    def command(tx: Tx) -> Invitation:
        require_person(tx, actor)
        found = _find(tx, invitation, _is_for(tx, actor))
        _check_pending(found)
        end_invitation(tx, found, InvitationState.DECLINED, actor.label, "decline")
        _tell_owners(tx, found, "declined")
        return _find(tx, invitation)

    return store.write(command)


def _find_invitee(tx: Tx, owner: Organisation, login: str) -> Row:
    row = tx.first(sa.select(users).where(users.c.name == login)) if LOGIN.fullmatch(login) else None
    if row is None:
        raise NotFound(
            text("No user {user}", user=login[:80]),
            hint=text(
                "Create an account with: pearl users create NAME --org {org}",
                org=owner.slug,
            ),
        )
    if row["operator_role"] is not None:
        raise operator_conflict()
    if is_member(tx, row["id"], owner.id):
        raise Conflict(
            text("{user} is a member of {org} already", user=login, org=owner.slug),
            hint=text("Change the role with: pearl orgs role USER ROLE"),
        )
    return row


def _refuse_operator(actor: Actor) -> None:
    if actor.operator_roles:
        raise operator_conflict()


def _check_limits(tx: Tx, owner: Organisation, invitee: str) -> None:
    """Raise TooMany or Conflict when the organisation's limits forbid another invitation now."""
    own = invitations.c.org_id == owner.id
    same = own & (invitations.c.invitee == invitee)
    since_us = invitations.c.created_us > tx.now_us - DAY_US
    recent = invitations.c.created_us > tx.now_us - PER_INVITEE_US
    declined = tx.scalar(
        sa.select(sa.func.max(invitations.c.ended_us)).where(
            same, invitations.c.state == InvitationState.DECLINED.value
        )
    )
    if declined is not None and declined > tx.now_us - REST_US:
        raise Conflict(
            text("{user} declined an invitation of {org}", user=invitee, org=owner.slug),
            hint=text("You can invite them again from {day}", day=to_rfc3339(declined + REST_US)[:10]),
        )
    for condition, most, wait_us in (
        (own & since_us, PER_DAY_MAX, DAY_US),
        (same & recent, PER_INVITEE_MAX, PER_INVITEE_US),
    ):
        oldest = tx.scalar(sa.select(sa.func.min(invitations.c.created_us)).where(condition))
        count = tx.scalar(sa.select(sa.func.count()).select_from(invitations).where(condition))
        if count >= most:
            raise TooMany(
                text("{org} has sent too many invitations", org=owner.slug),
                hint=text(
                    "At most {day} invitations in 24 hours, and {person} in 7 days to the same person",
                    day=PER_DAY_MAX,
                    person=PER_INVITEE_MAX,
                ),
                retry_after_s=max(1, (oldest + wait_us - tx.now_us) // US_PER_S + 1),
            )
    if tx.scalar(sa.select(sa.func.count()).select_from(invitations).where(own, is_open(tx))) >= PENDING_MAX:
        raise Conflict(
            text(
                "{org} has {count} pending invitations, which is the limit",
                org=owner.slug,
                count=PENDING_MAX,
            ),
            hint=text("Withdraw some first: pearl orgs invitations"),
        )


def _create(
    tx: Tx, actor: Actor, owner: Organisation, invitee: str, user_id: str | None, role: OrgRole
) -> Invitation:
    parts, code = credentials.mint(tx, credentials.INVITATION)
    by_mail = user_id is None
    tx.execute(
        sa.insert(invitations).values(
            id=parts.row_id,
            org_id=owner.id,
            invitee=invitee,
            user_id=user_id,
            code_hash=credentials.digest(parts.secret) if by_mail else None,
            role=role.value,
            state=InvitationState.PENDING.value,
            created_us=tx.now_us,
            created_by=actor.user_id,
            expires_us=tx.now_us + LIFE_US,
        )
    )
    audit.record(
        tx,
        actor=actor.label,
        action="invitation.create",
        target=parts.row_id,
        org_id=owner.id,
        details={"invitee": invitee, "role": role},
    )
    made = _find(tx, parts.row_id)
    words: dict[str, object] = {
        "invitation": made.id,
        "org": made.org_slug,
        "role": made.role.value,
        "inviter": made.invited_by,
        "until": to_rfc3339(made.expires_us)[:10],
    }
    for told in [user_id] if user_id is not None else _confirmed_owners(tx, invitee):
        # The event has no organisation: its webhooks must not reveal which accounts were invited.
        outbox.emit(tx, RECEIVED, words | {"user": told})
    if by_mail:
        _mail_code(tx, owner, invitee, words | {"code": code}, _language_of(tx, actor))
    return made


def _mail_code(tx: Tx, owner: Organisation, address: str, words: dict[str, object], language: str) -> None:
    """Queue the mail with the code. Beyond the limit of the address no mail is sent, and the inviter is not told."""
    target = "adr_" + hashlib.sha256(address.encode()).hexdigest()[:32]
    sent = tx.scalar(
        sa.select(sa.func.count())
        .select_from(deliveries_table)
        .where(deliveries_table.c.target_id == target, deliveries_table.c.created_us > tx.now_us - DAY_US)
    )
    if sent < MAILS_PER_DAY:
        event = Event(tx.new_id("evt"), MAILED, owner.id, words, tx.now_us)
        deliveries.queue(
            tx, [deliveries.row_for(tx, event, EMAIL, target, language=language, address=address)]
        )


def _language_of(tx: Tx, actor: Actor) -> str:
    """Return the inviter's language, as the best guess of the invitee's."""
    chosen = sa.select(preferences.c.language).where(preferences.c.owner_id == actor.user_id)
    return str(tx.scalar(chosen) or "en")


def _confirmed_owners(tx: Tx, address: str) -> Sequence[str]:
    """Return the ids of users that confirmed the address with a mailed code."""
    confirmed = preferences.c.email_confirmed_us.is_not(None)
    query = (
        sa.select(users.c.id)
        .join(preferences, preferences.c.owner_id == users.c.id)
        .where(sa.func.lower(preferences.c.email) == address, confirmed, users.c.operator_role.is_(None))
    )
    return list(tx.execute(query.order_by(users.c.id)).scalars())


def _is_for(tx: Tx, actor: Actor) -> sa.ColumnElement[bool]:
    """Return the SQL condition that the actor may answer an invitation.

    Only an address confirmed by a mailed code counts: the creator of an account can enter any address for it.
    """
    confirmed = tx.scalar(
        sa.select(preferences.c.email).where(
            preferences.c.owner_id == actor.user_id, preferences.c.email_confirmed_us.is_not(None)
        )
    )
    mine: sa.ColumnElement[bool] = invitations.c.user_id == actor.user_id
    if not confirmed:
        return mine
    mine |= invitations.c.user_id.is_(None) & (invitations.c.invitee == confirmed.lower())
    return mine


def _org_is_open() -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = orgs.c.state.not_in([state.value for state in LEFT])
    return condition


def _find(tx: Tx, invitation: str, *conditions: sa.ColumnElement[bool]) -> Invitation:
    found = None
    if is_id(invitation, "inv"):
        found = read_invitation(tx, invitations.c.id == invitation, *conditions)
    if found is None:
        raise NotFound(text("No invitation {invitation}", invitation=invitation[:80]))
    return found


def _check_pending(found: Invitation) -> None:
    if found.state is not InvitationState.PENDING:
        raise Conflict(
            text(
                "The invitation of {org} has ended: {state}",
                org=found.org_slug,
                state=text(STATE_WORDS[found.state]),
            ),
            hint=text("Ask the organisation for another invitation"),
        )


def _check_active(tx: Tx, found: Invitation) -> None:
    state = tx.scalar(sa.select(orgs.c.state).where(orgs.c.id == found.org_id))
    if state != Standing.ACTIVE.value:
        raise Conflict(text("The organisation {org} is suspended or closed", org=found.org_slug))


def _tell_owners(tx: Tx, found: Invitation, answer: str) -> None:
    words = {
        "invitee": found.invitee,
        "org": found.org_slug,
        "answer": answer,
        "role": found.role.value,
    }
    outbox.emit(tx, ANSWERED, words, org_id=found.org_id)


def _membership(tx: Tx, actor: Actor, found: Invitation) -> Membership:
    return next(one for one in read_memberships(tx, actor.user_id) if one.org_id == found.org_id)
