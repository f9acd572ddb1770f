"""Check that an API key grants only scopes that it has itself.

A user who is signed in can grant whatever the role allows. An API key may have fewer scopes than its user, so every
command that grants rights (account, role, invitation, operator duty, password link, identity) checks them here.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import text
from pearlstreet.tenancy.model import Actor, Membership, User
from pearlstreet.tenancy.scopes import EVERYONE, OPERATOR_ROLES, ORG_ROLES, OperatorRole, OrgRole


def require_role(actor: Actor, org_id: str, role: OrgRole, before: OrgRole | None = None) -> None:
    """Raise Forbidden unless the actor may grant the role in the organisation. `before` is the role it replaces."""
    _require(actor, ORG_ROLES[role] - (ORG_ROLES[before] if before else frozenset()), org_id)


def require_duty(actor: Actor, role: OperatorRole | None) -> None:
    """Raise Forbidden unless the actor may grant the operator role; None: the scopes that every account has."""
    _require(actor, EVERYONE if role is None else OPERATOR_ROLES[role], None)


def require_account(actor: Actor, user: User, memberships: Iterable[Membership]) -> None:
    """Raise Forbidden unless the actor may give access to an existing account with all its rights."""
    require_duty(actor, user.operator_role)
    for membership in memberships:
        require_role(actor, membership.org_id, membership.role)


def _require(actor: Actor, given: AbstractSet[str], org_id: str | None) -> None:
    if actor.scopes is None or actor.everything or _is_whole_duty(actor):
        return
    beyond = sorted(scope for scope in given if not actor.may(scope, org_id))
    if beyond:
        raise Forbidden(
            text(
                "{actor} cannot grant the scope {scope}, which its key lacks",
                actor=actor.label,
                scope=beyond[0],
            ),
            hint=text("Sign in, or use a key with all scopes of its owner"),
        )


def _is_whole_duty(actor: Actor) -> bool:
    """Return whether the key has all scopes of its operator roles. Such a key may grant any role, as operators do."""
    duties = {scope for role in actor.operator_roles for scope in OPERATOR_ROLES[role]}
    return bool(duties) and actor.tie is None and actor.scopes is not None and duties <= actor.scopes
