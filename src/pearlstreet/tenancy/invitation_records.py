"""Rows of the invitations table: reading, ending and expiring them inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.store import audit
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import SYSTEM, Invitation, InvitationState
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.tables import invitations, orgs, users

KEPT_US = 90 * 86_400 * US_PER_S
"""Retention of ended invitations in µs; longer than the period of every limit that counts them."""
EXPIRED_AT_ONCE = 500

_INVITATIONS = (
    sa.select(invitations, orgs.c.slug.label("org_slug"), users.c.name.label("inviter"))
    .join(orgs, orgs.c.id == invitations.c.org_id)
    .outerjoin(users, users.c.id == invitations.c.created_by)
)


def read_invitations(tx: Tx, *conditions: sa.ColumnElement[bool], limit: int) -> Sequence[Invitation]:
    """Return the invitations that meet the conditions, newest first."""
    query = _INVITATIONS.where(*conditions).order_by(invitations.c.id.desc()).limit(limit)
    return [_invitation(tx, row) for row in tx.rows(query)]


def read_invitation(tx: Tx, *conditions: sa.ColumnElement[bool]) -> Invitation | None:
    """Return the only invitation that meets the conditions, or None."""
    row = tx.first(_INVITATIONS.where(*conditions))
    return None if row is None else _invitation(tx, row)


def is_open(tx: Tx) -> sa.ColumnElement[bool]:
    """Return the SQL condition that an invitation can still be answered."""
    pending = invitations.c.state == InvitationState.PENDING.value
    return pending & (invitations.c.expires_us > tx.now_us)


def end_invitation(tx: Tx, invitation: Invitation, state: InvitationState, actor: str, action: str) -> None:
    """Set the final state of a pending invitation and record it in the audit log."""
    tx.execute(
        sa.update(invitations)
        .where(invitations.c.id == invitation.id)
        .values(state=state.value, ended_us=tx.now_us, code_hash=None)
    )
    audit.record(
        tx,
        actor=actor,
        action=f"invitation.{action}",
        target=invitation.id,
        org_id=invitation.org_id,
        details={"invitee": invitation.invitee, "role": invitation.role},
    )


def withdraw_invitations_of(tx: Tx, actor: str, org_id: str, inviter_id: str) -> None:
    """Withdraw the pending invitations by a former owner, who could otherwise return through a second account."""
    pending = (invitations.c.org_id == org_id) & (invitations.c.created_by == inviter_id) & is_open(tx)
    for invitation in read_invitations(tx, pending, limit=10_000):
        end_invitation(tx, invitation, InvitationState.WITHDRAWN, actor, "withdraw")


def forget_old(tx: Tx) -> None:
    """Expire overdue invitations, which records them in the audit log, and delete those that ended 90 days ago."""
    overdue = (invitations.c.state == InvitationState.PENDING.value) & (invitations.c.expires_us <= tx.now_us)
    for invitation in read_invitations(tx, overdue, limit=EXPIRED_AT_ONCE):
        end_invitation(tx, invitation, InvitationState.EXPIRED, SYSTEM.label, "expire")
    tx.execute(sa.delete(invitations).where(invitations.c.ended_us < tx.now_us - KEPT_US))


def _invitation(tx: Tx, row: RowMapping) -> Invitation:
    state = InvitationState(row["state"])
    if state is InvitationState.PENDING and row["expires_us"] <= tx.now_us:
        state = InvitationState.EXPIRED
    return Invitation(
        id=row["id"],
        org_id=row["org_id"],
        org_slug=row["org_slug"],
        invitee=row["invitee"],
        role=OrgRole(row["role"]),
        state=state,
        invited_by=row["inviter"] or "center",
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        ended_us=row["ended_us"],
    )
