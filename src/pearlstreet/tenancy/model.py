"""The values of the package `tenancy`, and `Actor`: the requester's identity and rights."""

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
    """State of a user or an organisation."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    """State of an organisation only: members have no access, and its data is being handed over and erased."""
    CLOSED = "closed"


class StandingEvent(StrEnum):
    """Event that changes a `Standing`."""

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
"""States of an organisation that is no longer a tenant: members have no access and nothing can be created in it."""


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
    """A project: the part of an organisation that owns jobs and secrets. `slug` is unique inside the organisation."""

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
    """A user as another account may see it. Members of the same organisation get only the first three fields."""

    id: str
    name: str
    display_name: str
    email: str | None = None
    state: Standing | None = None
    operator_role: OperatorRole | None = None
    created_us: int | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's role in one organisation, with the names that the organisation sees."""

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
    """Project; None: the whole organisation."""
    name: str = field(default="", compare=False)
    """Name of the tie in messages: `acme`, or `acme/research`."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. A key with an `org_id` works only in that organisation."""

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
    """Id of the key that created this key, or None. Revoking the parent revokes this key."""
    project_id: str | None = None
    """Id of the only project in which the key works; None: no such limit."""
    place: str = ""
    """Name of the tie: `acme`, or `acme/research`; empty for a key without a tie."""

    @property
    def tie(self) -> Tie | None:
        """Organisation or project to which the key is tied; None: the key works wherever its user has access."""
        return None if self.org_id is None else Tie(self.org_id, self.project_id, self.place)


@dataclass(frozen=True, slots=True)
class Session:
    """A session. It ends at `expires_us` (µs since 1970), or earlier when it was idle for an hour."""

    id: str
    user_id: str
    created_us: int
    expires_us: int
    last_seen_us: int
    peer: str


@dataclass(frozen=True, slots=True)
class Actor:
    """The identity and rights of a requester.

    `scopes` (of an API key) limits the rights that the roles give; None: no limit. `label` is the name in the audit log.
    """

    label: str
    user_id: str
    key_id: str | None = None
    session_id: str | None = None
    orgs: Mapping[str, OrgRole] = field(default_factory=dict)
    operator_roles: frozenset[OperatorRole] = frozenset()
    scopes: frozenset[str] | None = None
    suspended: frozenset[str] = frozenset()
    """Ids of the organisations that are suspended, in which the actor may only read."""
    everything: bool = False
    """Whether the actor has all rights: true only for the center's own loops and offline commands."""
    tie: Tie | None = None
    """Organisation or project to which the actor's key is tied; None: not tied, or a session."""
    expires_us: int | None = None
    """End of the actor's key (µs since 1970); None for a session."""
    org_slugs: Mapping[str, str] = field(default_factory=dict)
    """Organisation id → slug, for each of `orgs`."""
    default_org: str | None = None
    """Id of the organisation for requests that name none: the user's choice, or the organisation of a tied key."""

    @property
    def login(self) -> str:
        """Login name, without the id of the key or session."""
        return login_of(self.label)

    def may(self, scope: str, org_id: str | None = None, project_id: str | None = None) -> bool:
        """Return whether the actor has `scope` in an organisation or project, or (both None) in the center as a whole.

        Without `project_id` the question is about the whole organisation; for a key tied to a project the answer is no.
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
        """Raise unless `may` is true: NotFound for an organisation or project the actor cannot see, else Forbidden.

        `missing` is the caller's own message for NotFound, so that foreign and absent objects get the same message.
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
        raise self.lacks(scope)

    def lacks(self, scope: str) -> Forbidden:
        """Return the error for a scope that the actor does not hold; it names the user, not the key or session."""
        message = (
            text("{user} lacks the scope {scope}", user=self.login, scope=scope)
            if self.key_id is None
            else text("This key of {user} lacks the scope {scope}", user=self.login, scope=scope)
        )
        return Forbidden(message, hint=text("It allows: {what}", what=text(SCOPES[scope])))

    def sees(self, org_id: str) -> bool:
        """Return whether the actor may know that the organisation exists."""
        return self.everything or bool(self.operator_roles) or org_id in self.orgs

    @property
    def project_id(self) -> str | None:
        """Id of the project to which the actor's key is tied, or None."""
        return None if self.tie is None else self.tie.project_id

    def orgs_with(self, scope: str) -> frozenset[str] | None:
        """Return ids of the organisations in which the actor has `scope`, for list queries; None: in all organisations.

        Empty for a key tied to a project: queries over rows with a project use `reach.visible_rows`.
        """
        if self.everything or (self.operator_roles and self.may(scope) and scope not in EVERYONE):
            return None
        return frozenset(org_id for org_id in self.orgs if self.may(scope, org_id))

    def all_scopes(self, org_id: str | None = None, project_id: str | None = None) -> frozenset[str]:
        """Return all scopes that the actor has anywhere, in one organisation, or in one of its projects.

        A key that the actor creates with that tie can have at most these scopes.
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
    """Return the error for a request that reaches beyond the project to which the key is tied."""
    return Forbidden(
        text(
            "This key is tied to the project {project} and cannot be used beyond it",
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
    """Return the login name in an actor's label, without the private id of the key or session."""
    return label.partition(" ")[0]


SYSTEM = Actor(label="center", user_id="", everything=True)
"""Actor of the center itself: its loops, and offline commands run by an operator with access to its files."""
