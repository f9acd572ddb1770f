"""What an API key may give to an account: never a scope that the key does not carry itself.

A person who is signed in gives what their role allows. A key that was narrowed was trusted with less, so every command
that gives somebody rights (an account, a role, an invitation, a duty, a way to sign in) asks here first.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import text
from pearlstreet.tenancy.model import Actor, Membership, User
from pearlstreet.tenancy.scopes import EVERYONE, OPERATOR_ROLES, ORG_ROLES, OperatorRole, OrgRole


def require_role(actor: Actor, org_id: str, role: OrgRole, before: OrgRole | None = None) -> None:
    """Raise Forbidden unless the actor may give the role in the organisation; `before`: the role that it replaces."""
    _require(actor, ORG_ROLES[role] - (ORG_ROLES[before] if before else frozenset()), org_id)


def require_duty(actor: Actor, role: OperatorRole | None) -> None:
    """Raise Forbidden unless the actor may give the operator's duty; None: what every account has."""
    _require(actor, EVERYONE if role is None else OPERATOR_ROLES[role], None)


def require_account(actor: Actor, user: User, memberships: Iterable[Membership]) -> None:
    """Raise Forbidden unless the actor may open an existing account to somebody, with all that the account may do."""
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
                "{actor} cannot give the scope {scope}, which the key does not carry",
                actor=actor.label,
                scope=beyond[0],
            ),
            hint=text("Sign in, or use a key with all scopes of its owner"),
        )


def _is_whole_duty(actor: Actor) -> bool:
    """Whether the key is an operator's and was not narrowed: appointing others is the duty of security operators."""
    duties = {scope for role in actor.operator_roles for scope in OPERATOR_ROLES[role]}
    return bool(duties) and actor.tie is None and actor.scopes is not None and duties <= actor.scopes
