"""Makes somebody a member the way everybody becomes one: invited by the organisation, accepted by the person."""

from __future__ import annotations

from pearlstreet.store.core import Store
from pearlstreet.tenancy import invitations, users
from pearlstreet.tenancy.model import SYSTEM, Actor, Membership
from pearlstreet.tenancy.scopes import OrgRole


def join(store: Store, login: str, org: str, role: OrgRole = OrgRole.MEMBER) -> Membership:
    """Invite the account and accept in its name; its default organisation stays as it is."""
    sent = invitations.invite(store, SYSTEM, org, login, role, has_mail=False)
    person = Actor(label=login, user_id=users.get_user(store, SYSTEM, login).id)
    return invitations.accept_invitation(store, person, sent.id)
