"""The values of this room, and `Actor`: who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pearlstreet.base.errors import Forbidden, NotFound, check
from pearlstreet.base.text import Text, text
from pearlstreet.store.transitions import StateTable
from pearlstreet.tenancy.scopes import (
    EVERYONE,
    OPERATOR_ROLES,
    ORG_ROLES,
    READ_ONLY,
    SCOPES,
    OperatorRole,
    OrgRole,
)


class Standing(StrEnum):
    """Of a user or an organisation."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    """Of an organisation only: its members are out, its data is being handed over and erased."""
    CLOSED = "closed"


class StandingEvent(StrEnum):
    """What moves it."""

    SUSPEND = "suspend"
    RESUME = "resume"
    CLOSE = "close"
    ERASE = "erase"


_MOVES = {
    (Standing.ACTIVE, StandingEvent.SUSPEND): Standing.SUSPENDED,
    (Standing.SUSPENDED, StandingEvent.RESUME): Standing.ACTIVE,
}
_USER_MOVES = {
    (Standing.ACTIVE, StandingEvent.CLOSE): Standing.CLOSED,
    (Standing.SUSPENDED, StandingEvent.CLOSE): Standing.CLOSED,
}
_ORG_MOVES = {
    (Standing.ACTIVE, StandingEvent.CLOSE): Standing.CLOSING,
    (Standing.SUSPENDED, StandingEvent.CLOSE): Standing.CLOSING,
    (Standing.CLOSING, StandingEvent.ERASE): Standing.CLOSED,
}
USER_STATES = StateTable("user", _MOVES | _USER_MOVES, frozenset({Standing.CLOSED}))
ORG_STATES = StateTable("organisation", _MOVES | _ORG_MOVES, frozenset({Standing.CLOSED}))
LEFT = (Standing.CLOSING, Standing.CLOSED)
"""An organisation that is no longer a tenant: nobody is its member, and nothing new comes to be in it."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """A tenant. `slug` is its name in addresses and the namespace of its repositories."""

    id: str
    slug: str
    name: str
    state: Standing
    created_us: int
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Project:
    """A part of an organisation that jobs and secrets belong to. `slug` is unique inside the organisation."""

    id: str
    org_id: str
    slug: str
    name: str
    created_us: int


@dataclass(frozen=True, slots=True)
class User:
    """A person or a program that signs in under `name`."""

    id: str
    name: str
    display_name: str
    email: str | None
    state: Standing
    operator_role: OperatorRole | None
    created_us: int


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's role in one organisation."""

    user_id: str
    org_id: str
    role: OrgRole
    user_name: str
    org_slug: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key after it was shown: never its secret. `org_id`: works in that organisation only."""

    id: str
    user_id: str
    org_id: str | None
    label: str
    scopes: frozenset[str]
    created_us: int
    expires_us: int
    revoked_us: int | None
    last_used_us: int | None
    parent_id: str | None = None
    """The key that made this one, if a key did: revoking that one revokes this one."""


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that lasts. `expires_us` is the hard end; an idle one ends earlier."""

    id: str
    user_id: str
    created_us: int
    expires_us: int
    last_seen_us: int
    peer: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `scopes` narrows what the roles give (None: no narrowing); `label` names them in the audit log."""

    label: str
    user_id: str
    key_id: str | None = None
    session_id: str | None = None
    orgs: Mapping[str, OrgRole] = field(default_factory=dict)
    operator_roles: frozenset[OperatorRole] = frozenset()
    scopes: frozenset[str] | None = None
    suspended: frozenset[str] = frozenset()
    """Those of `orgs` that are suspended: reading only."""
    everything: bool = False
    """The center's own loops and offline commands."""

    def may(self, scope: str, org_id: str | None = None) -> bool:
        """Whether `scope` is theirs: in that organisation, or (None) at the center as a whole."""
        check(scope in SCOPES, "a scope is in the table", scope=scope)
        if self.everything:
            return True
        if self.scopes is not None and scope not in self.scopes:
            return False
        if any(scope in OPERATOR_ROLES[role] for role in self.operator_roles):
            return True
        if org_id is None:
            return scope in EVERYONE
        role = self.orgs.get(org_id)
        if role is None or (org_id in self.suspended and scope not in READ_ONLY):
            return False
        return scope in ORG_ROLES[role]

    def require(self, scope: str, org_id: str | None = None, *, missing: Text | None = None) -> None:
        """Raise unless `may`: NotFound for an organisation they cannot see, else Forbidden.

        `missing`: what the caller says of a thing that is not there, so that a foreign one reads exactly the same.
        """
        if self.may(scope, org_id):
            return
        if org_id is not None and not self.sees(org_id):
            raise NotFound(missing or text("No such organisation"))
        if org_id is not None and org_id in self.suspended and scope not in READ_ONLY:
            raise Forbidden(
                text("The organisation is suspended: only reading is possible"),
                hint=text("Ask the center's operator why"),
            )
        raise Forbidden(
            text("{actor} lacks the scope {scope}", actor=self.label, scope=scope),
            hint=text("It allows: {what}", what=text(SCOPES[scope])),
        )

    def sees(self, org_id: str) -> bool:
        """Whether the organisation's existence is no secret to them."""
        return self.everything or bool(self.operator_roles) or org_id in self.orgs

    def orgs_with(self, scope: str) -> frozenset[str] | None:
        """Organisations in which they have `scope`; None: in all of them. For list queries."""
        if self.everything or (self.operator_roles and self.may(scope) and scope not in EVERYONE):
            return None
        return frozenset(org_id for org_id in self.orgs if self.may(scope, org_id))

    def all_scopes(self, org_id: str | None = None) -> frozenset[str]:
        """Every scope they hold anywhere (or, with `org_id`, there): what a key of theirs may carry at most."""
        held = set(EVERYONE)
        if org_id is None:
            held |= {scope for role in self.operator_roles for scope in OPERATOR_ROLES[role]}
        for org, role in self.orgs.items():
            if org_id in (None, org):
                held |= ORG_ROLES[role]
        if self.everything:
            held = set(SCOPES)
        return frozenset(held if self.scopes is None else held & self.scopes)


SYSTEM = Actor(label="center", user_id="", everything=True)
"""The center itself: loops, and commands that somebody with access to its files runs offline."""
