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
    PROJECT_SCOPES,
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
class VisibleUser:
    """What one account may know of another. Fellow members get the first three fields; the rest is None for them."""

    id: str
    name: str
    display_name: str
    email: str | None = None
    state: Standing | None = None
    operator_role: OperatorRole | None = None
    created_us: int | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's role in one organisation, and what that organisation sees of the user."""

    user_id: str
    org_id: str
    role: OrgRole
    user_name: str
    display_name: str
    org_slug: str
    joined_us: int


class InvitationState(StrEnum):
    """State of an invitation; every state but `pending` is final."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Invitation:
    """An organisation's offer of a role. `invitee` is the login name or e-mail address as the owner wrote it."""

    id: str
    org_id: str
    org_slug: str
    invitee: str
    role: OrgRole
    state: InvitationState
    invited_by: str
    """Login name of the inviter."""
    created_us: int
    expires_us: int
    ended_us: int | None


@dataclass(frozen=True, slots=True)
class Tie:
    """The one organisation, or the one project of it, in which a key works."""

    org_id: str
    project_id: str | None = None
    """None: the whole organisation."""
    name: str = field(default="", compare=False)
    """For messages: `acme`, or `acme/research`."""


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
    project_id: str | None = None
    """Works in this project of the organisation only."""
    place: str = ""
    """Name of the tie: `acme`, or `acme/research`; empty for a key without one."""

    @property
    def tie(self) -> Tie | None:
        """Where the key works; None: wherever its user does."""
        return None if self.org_id is None else Tie(self.org_id, self.project_id, self.place)


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
    tie: Tie | None = None
    """Where the key works that asks; None: wherever its user does."""
    expires_us: int | None = None
    """When the key that asks ends (µs since 1970); None for a session."""
    org_slugs: Mapping[str, str] = field(default_factory=dict)
    """Organisation id → slug, for each of `orgs`."""
    default_org: str | None = None
    """Id of the organisation for requests that name none: the person's choice, or the one that the key is tied to."""

    @property
    def login(self) -> str:
        """Login name without the key or session that was used."""
        return login_of(self.label)

    def may(self, scope: str, org_id: str | None = None, project_id: str | None = None) -> bool:
        """Whether `scope` is theirs: in that organisation or project, or (None) at the center as a whole.

        A caller that names no project asks for the whole organisation, which a key tied to a project never has.
        """
        check(scope in SCOPES, "a scope is in the table", scope=scope)
        if self.everything:
            return True
        if self.scopes is not None and scope not in self.scopes:
            return False
        if self.tie is not None and not _within(self.tie, scope, org_id, project_id):
            return False
        if any(scope in OPERATOR_ROLES[role] for role in self.operator_roles):
            return True
        if org_id is None:
            return scope in EVERYONE
        role = self.orgs.get(org_id)
        if role is None or (org_id in self.suspended and scope not in READ_ONLY):
            return False
        return scope in ORG_ROLES[role]

    def require(
        self,
        scope: str,
        org_id: str | None = None,
        project_id: str | None = None,
        *,
        missing: Text | None = None,
    ) -> None:
        """Raise unless `may`: NotFound for an organisation or project they cannot see, else Forbidden.

        `missing`: what the caller says of a thing that is not there, so that a foreign one reads exactly the same.
        """
        if self.may(scope, org_id, project_id):
            return
        if org_id is not None and not self.sees(org_id):
            raise NotFound(missing or text("No such organisation"))
        if org_id is not None and self.project_id is not None and project_id != self.project_id:
            if project_id is not None:
                raise NotFound(missing or text("No such project"))
            raise project_only(self)
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

    @property
    def project_id(self) -> str | None:
        """The project that the key that asks is tied to; None: to none."""
        return None if self.tie is None else self.tie.project_id

    def orgs_with(self, scope: str) -> frozenset[str] | None:
        """Organisations in the whole of which they have `scope`; None: in all of them. For list queries.

        Empty for a key tied to a project: lists that know projects ask `reach.visible_rows`.
        """
        if self.everything or (self.operator_roles and self.may(scope) and scope not in EVERYONE):
            return None
        return frozenset(org_id for org_id in self.orgs if self.may(scope, org_id))

    def all_scopes(self, org_id: str | None = None, project_id: str | None = None) -> frozenset[str]:
        """Every scope they hold anywhere (or, with `org_id`, there; with `project_id`, in that project of it).

        What a key of theirs with that tie may carry at most.
        """
        held = set(EVERYONE)
        if org_id is None:
            held |= {scope for role in self.operator_roles for scope in OPERATOR_ROLES[role]}
        for org, role in self.orgs.items():
            if org_id in (None, org):
                held |= ORG_ROLES[role]
        if self.everything:
            held = set(SCOPES)
        if project_id is not None or self.project_id is not None:
            held &= PROJECT_SCOPES
        return frozenset(held if self.scopes is None else held & self.scopes)


def project_only(actor: Actor) -> Forbidden:
    """The error for a request about more than the project that the key is tied to."""
    return Forbidden(
        text(
            "This key is tied to the project {project} and does nothing beyond it",
            project=actor.tie.name or actor.tie.project_id if actor.tie else "",
        ),
        hint=text("Use a key of the organisation, or sign in"),
    )


def _within(tie: Tie, scope: str, org_id: str | None, project_id: str | None) -> bool:
    if org_id is None:
        return scope in EVERYONE and (tie.project_id is None or scope in PROJECT_SCOPES)
    if tie.project_id is None:
        return org_id == tie.org_id
    return scope in PROJECT_SCOPES and (org_id, project_id) == (tie.org_id, tie.project_id)


def login_of(label: str) -> str:
    """Login name of an actor's label. The rest names a key or session, which is nobody else's business."""
    return label.partition(" ")[0]


SYSTEM = Actor(label="center", user_id="", everything=True)
"""The center itself: loops, and commands that somebody with access to its files runs offline."""
