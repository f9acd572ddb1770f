"""What keys give to accounts, over all people, scopes and ties: never more than the key can do itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.conftest import make_store
from tests.joining import join

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import Conflict, Forbidden, NotFound
from pearlstreet.store.core import Store
from pearlstreet.tenancy import federation, invitations, keys, members, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.scopes import OPERATOR_ROLES, ORG_ROLES, SCOPES, OperatorRole, OrgRole

PEOPLE = {
    "olga": {"a": OrgRole.OWNER, "b": OrgRole.VIEWER},
    "mei": {"a": OrgRole.MEMBER, "b": OrgRole.OWNER},
    "sven": OperatorRole.SECURITY,
    "lin": OperatorRole.SYSTEM,
}
WHOLE = {role: frozenset(scopes) for role, scopes in (ORG_ROLES | OPERATOR_ROLES).items()}
NARROW = st.frozensets(st.sampled_from(sorted(SCOPES)), max_size=12).map(lambda some: some | {"users:write"})
ROLES = st.sampled_from(sorted(WHOLE.values(), key=sorted)).map(lambda some: some | {"users:write"})
CARRIED = st.one_of(NARROW, ROLES, ROLES)
"""Scopes of a key: a few, or all of some role."""
HOME = {"olga": "a", "mei": "b"}
"""Where somebody is an owner."""
Powers = frozenset[tuple[str, str | None]]


@dataclass
class Center:
    store: Store
    orgs: dict[str, str]
    people: dict[str, Actor] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def person(self, name: str) -> Actor:
        """The account by a key without any limit but its roles."""
        user = users.get_user(self.store, SYSTEM, name)
        made = keys.create_key(self.store, SYSTEM, name, for_user=user.id)
        return authenticate(self.store, made.credential)

    def powers(self, actor: Actor) -> Powers:
        """Everything the actor may do: scope and organisation."""
        places = (None, *self.orgs.values())
        return frozenset((scope, org) for scope in SCOPES for org in places if actor.may(scope, org))

    def guest(self, org: str | None, role: OrgRole) -> str:
        """Make an account that belongs to one organisation, or to none."""
        name = f"guest{next(self.numbers)}"
        users.create_user(self.store, SYSTEM, name, org=org, role=role)
        return name


@pytest.fixture(scope="module")
def center() -> Iterator[Center]:
    store = replace(make_store("sqlite://"), clock=VirtualClock())
    made = Center(store, {slug: orgs.create_org(store, SYSTEM, slug).id for slug in ("a", "b")})
    for name, roles in PEOPLE.items():
        if isinstance(roles, OperatorRole):
            users.create_user(store, SYSTEM, name, operator_role=roles)
        else:
            users.create_user(store, SYSTEM, name)
            for org, role in roles.items():
                join(store, name, org, role)
        made.people[name] = replace(made.person(name), scopes=None, key_id=None)
    yield made
    store.close()


@dataclass(frozen=True)
class Wish:
    """What is asked of a command that gives rights."""

    org: str
    role: OrgRole
    duty: OperatorRole | None
    before: OrgRole | None
    """Role of the account in the organisation before; None: it belongs to none."""


WISHES = st.builds(
    Wish,
    org=st.sampled_from(("a", "b")),
    role=st.sampled_from(OrgRole),
    duty=st.sampled_from((None, *OperatorRole)),
    before=st.sampled_from((None, *OrgRole)),
)


def _create(center: Center, key: Actor, wish: Wish) -> str:
    """An account, as a member, an operator or neither."""
    name = f"made{next(center.numbers)}"
    org = None if wish.duty or wish.before is None else wish.org
    users.create_user(center.store, key, name, org=org, role=wish.role, operator_role=wish.duty)
    return name


def _set_role(center: Center, key: Actor, wish: Wish, name: str) -> None:
    members.set_role(center.store, key, wish.org, name, wish.role)


def _invite(center: Center, key: Actor, wish: Wish, name: str) -> None:
    sent = invitations.invite(center.store, key, wish.org, name, wish.role, has_mail=False)
    invitations.accept_invitation(center.store, center.person(name), sent.id)


def _appoint(center: Center, key: Actor, wish: Wish, name: str) -> None:
    users.set_operator_role(center.store, key, name, wish.duty)


GIVEN: dict[str, Callable[[Center, Actor, Wish, str], None]] = {
    "role": _set_role,
    "invitation": _invite,
    "duty": _appoint,
}
OPENED: dict[str, Callable[[Center, Actor, str], object]] = {
    "password link": lambda center, key, name: users.issue_password_link(center.store, key, name),
    "identity": lambda center, key, name: federation.link_identity(
        center.store, key, name, "https://id.example", str(next(center.numbers))
    ),
    "resume": lambda center, key, name: users.resume_user(center.store, key, name),
}


def _key(center: Center, who: str, carried: frozenset[str], tie: str | None) -> Actor | None:
    person = center.people[who]
    org_id = center.orgs[tie] if tie else None
    scopes = carried & person.all_scopes(org_id)
    try:
        made = keys.create_key(center.store, person, scopes=scopes, org=tie) if scopes else None
    except (Forbidden, NotFound):
        return None
    return authenticate(center.store, made.credential) if made else None


def _is_whole_security(key: Actor) -> bool:
    return key.tie is None and key.scopes == WHOLE[OperatorRole.SECURITY] and bool(key.operator_roles)


def _assert_nothing_gained(center: Center, key: Actor, before: Powers, name: str) -> None:
    gained = center.powers(center.person(name)) - before
    assert _is_whole_security(key) or gained <= center.powers(key), (key.scopes, sorted(gained, key=str)[:3])


@given(
    who=st.sampled_from(sorted(PEOPLE)), carried=CARRIED, tie=st.sampled_from((None, None, "a")), wish=WISHES,
    how=st.sampled_from(["account", *GIVEN, *OPENED]), away=st.integers(0, 4),
)  # fmt: skip
def test_no_key_gives_more_than_it_carries(
    center: Center, who: str, carried: frozenset[str], tie: str | None, wish: Wish, how: str, away: int
) -> None:
    key = _key(center, who, carried, tie)
    if key is None:
        return
    if away:
        wish = replace(wish, org=HOME.get(who, wish.org))
    before: Powers = frozenset()
    name = center.guest(wish.org if wish.before else None, wish.before or wish.role)
    try:
        if how == "account":
            name = _create(center, key, wish)
        elif how in GIVEN:
            before = center.powers(center.person(name))
            GIVEN[how](center, key, wish, name)
        else:
            if how == "resume":
                users.suspend_user(center.store, SYSTEM, name)
            OPENED[how](center, key, name)
    except (Forbidden, NotFound, Conflict) as refused:
        event(f"{how}: refused, {type(refused).__name__}")
        return
    event(f"{how}: done")
    _assert_nothing_gained(center, key, before, name)


@given(wish=WISHES, how=st.sampled_from(["account", "role", "invitation"]))
def test_an_owners_key_with_all_scopes_gives_every_role(center: Center, wish: Wish, how: str) -> None:
    key = _key(center, "olga", WHOLE[OrgRole.OWNER], None)
    assert key is not None
    if how == "account":
        _create(center, key, replace(wish, org="a", duty=None, before=OrgRole.VIEWER))
    else:
        known = how == "role"
        name = center.guest("a" if known else None, wish.before or OrgRole.VIEWER)
        GIVEN[how](center, key, replace(wish, org="a"), name)


def test_a_narrow_key_takes_roles_away_and_says_what_it_lacks(center: Center) -> None:
    key = _key(center, "olga", frozenset({"users:write", *ORG_ROLES[OrgRole.VIEWER]}), None)
    assert key is not None
    name = center.guest("a", OrgRole.OWNER)
    members.set_role(center.store, key, "a", name, OrgRole.VIEWER)
    with pytest.raises(Forbidden, match=r"cannot grant the scope (jobs:cancel|hub:write)"):
        members.set_role(center.store, key, "a", name, OrgRole.MEMBER)
    with pytest.raises(Forbidden, match="audit:read"):
        users.create_user(center.store, key, "mallory", org="a", role=OrgRole.OWNER)


def test_a_person_who_is_signed_in_and_a_whole_security_key_appoint_operators(center: Center) -> None:
    sven = center.people["sven"]
    narrow = _key(center, "sven", frozenset({"users:write", "users:read"}), None)
    whole = _key(center, "sven", WHOLE[OperatorRole.SECURITY], None)
    assert narrow is not None and whole is not None
    for who in (sven, whole):
        name = f"duty{next(center.numbers)}"
        users.create_user(center.store, who, name, operator_role=OperatorRole.SYSTEM)
        users.issue_password_link(center.store, who, name)
        with pytest.raises(Forbidden, match="which its key lacks"):
            users.issue_password_link(center.store, narrow, name)
    with pytest.raises(Forbidden, match="which its key lacks"):
        users.issue_password_link(center.store, narrow, "sven")
