"""Keys that make keys, over all ties, scopes, lives and people: nothing is ever gained on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.cheap_passwords import cheap_passwords
from tests.conftest import make_store
from tests.joining import join

from pearlstreet.base.clock import US_PER_S, VirtualClock
from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound
from pearlstreet.store.core import Store
from pearlstreet.tenancy import keys, orgs, sessions, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor, ApiKey, Tie
from pearlstreet.tenancy.scopes import PROJECT_SCOPES, SCOPES, OperatorRole, OrgRole

DAY_US = 86_400 * US_PER_S
PASSWORD = "correct horse battery staple"
TIES = (None, "a", "b", "a/default", "a/two", "b/default")
"""What a key can be tied to: nothing, an organisation, a project of one."""
PEOPLE = {
    "olga": {"a": OrgRole.OWNER, "b": OrgRole.VIEWER},
    "mei": {"a": OrgRole.MEMBER, "b": OrgRole.OWNER},
    "vera": {"a": OrgRole.VIEWER},
    "sven": OperatorRole.SECURITY,
    "lin": OperatorRole.SYSTEM,
}


@dataclass
class Center:
    store: Store
    people: dict[str, Actor]
    ties: dict[str | None, Tie | None]

    def powers(self, actor: Actor) -> frozenset[tuple[str, str | None, str | None]]:
        """Everything the actor may do: scope, organisation, project."""
        places: list[tuple[str | None, str | None]] = [(None, None)]
        for tie in self.ties.values():
            if tie is not None:
                places += [(tie.org_id, tie.project_id), (tie.org_id, "")]
        return frozenset(
            (scope, org, project)
            for scope in SCOPES
            for org, project in set(places)
            if actor.may(scope, org, project)
        )


@pytest.fixture(scope="module")
def center() -> Iterator[Center]:
    store = replace(make_store("sqlite://"), clock=VirtualClock())
    ties: dict[str | None, Tie | None] = {None: None}
    for slug in ("a", "b"):
        made = orgs.create_org(store, SYSTEM, slug)
        ties[slug] = Tie(made.id)
        ties[f"{slug}/default"] = Tie(made.id, orgs.get_project(store, SYSTEM, slug).id)
    ties["a/two"] = Tie(ties["a/default"].org_id, orgs.create_project(store, SYSTEM, "a", "two").id)  # type: ignore[union-attr]
    people = {}
    with cheap_passwords():
        for name, roles in PEOPLE.items():
            invited = users.create_user(store, SYSTEM, name)
            if isinstance(roles, OperatorRole):
                users.set_operator_role(store, SYSTEM, name, roles)
            else:
                for org, role in roles.items():
                    join(store, name, org, role)
            sessions.set_password(store, invited.token, PASSWORD)
            started = sessions.sign_in(store, name, PASSWORD, peer="192.0.2.7")
            people[name] = authenticate(store, started.credential)
    yield Center(store, people, ties)
    store.close()


@dataclass(frozen=True)
class Wish:
    """What is asked of `create_key`."""

    tie: str | None
    scopes: frozenset[str] | None
    life_days: float | None


SOME_SCOPES = st.one_of(
    st.none(),
    st.frozensets(st.sampled_from(sorted(SCOPES)), min_size=1),
    st.frozensets(st.sampled_from(sorted(PROJECT_SCOPES)), min_size=1).map(lambda some: some | {"keys:own"}),
)
WISHES = st.builds(
    Wish,
    tie=st.sampled_from(TIES),
    scopes=SOME_SCOPES,
    life_days=st.one_of(st.none(), st.floats(0.01, 366)),
)


def _make(center: Center, maker: Actor, wish: Wish) -> keys.IssuedKey | None:
    org, _, project = (wish.tie or "").partition("/")
    try:
        return keys.create_key(
            center.store,
            maker,
            "p",
            scopes=wish.scopes,
            org=org or None,
            project=project or None,
            life_days=wish.life_days,
        )
    except (Forbidden, NotFound, InvalidInput):
        return None


def _may_be_made(center: Center, maker: Actor, wish: Wish) -> bool:
    """What must be allowed to a tied key, said in another way than the code does."""
    assert maker.tie is not None and maker.expires_us is not None and maker.scopes is not None
    left_us = maker.expires_us - center.store.clock.now_us()
    held = {scope for scope, org, _ in center.powers(maker) if org in (None, maker.tie.org_id)}
    return (
        maker.may("keys:own")
        # An operator's key that is tied to an organisation sees nothing of it, its name neither.
        and (wish.tie is None or (center.ties[wish.tie] == maker.tie and maker.sees(maker.tie.org_id)))
        and (wish.scopes is None or wish.scopes <= held)
        and (wish.life_days is None or int(wish.life_days * DAY_US) <= left_us)
    )


def _shown(center: Center, actor: Actor) -> dict[str, ApiKey]:
    found: dict[str, ApiKey] = {}
    for everyone in (False, True):
        after: str | None = None
        while page := keys.list_keys(center.store, actor, everyone=everyone, after=after, limit=500):
            found |= {key.id: key for key in page}
            after = page[-1].id
    return found


@given(who=st.sampled_from(sorted(PEOPLE)), wishes=st.lists(WISHES, min_size=1, max_size=6))
def test_a_key_is_never_more_than_what_made_it(center: Center, who: str, wishes: list[Wish]) -> None:
    maker, ancestors = center.people[who], []
    for wish in wishes:
        made = _make(center, maker, wish)
        if maker.tie is not None:
            event(f"a tied key makes one: {made is not None}")
            assert (made is not None) == _may_be_made(center, maker, wish), wish
        if made is None:
            continue
        child = authenticate(center.store, made.credential)
        ancestors.append(maker)
        for older in ancestors:
            assert center.powers(child) <= center.powers(older)
            assert older.expires_us is None or (child.expires_us or 0) <= older.expires_us
            assert older.tie in (None, child.tie)
        asked = center.ties[wish.tie] if wish.tie is not None else maker.tie
        assert child.tie == made.key.tie == asked
        assert wish.scopes is None or made.key.scopes == wish.scopes
        if not child.may("keys:own"):
            break
        maker = child


@given(who=st.sampled_from(sorted(PEOPLE)), wishes=st.lists(WISHES, min_size=1, max_size=3))
def test_a_tied_key_sees_and_ends_only_keys_of_its_tie(center: Center, who: str, wishes: list[Wish]) -> None:
    person = center.people[who]
    made = [found for wish in wishes if (found := _make(center, person, wish)) is not None]
    all_of_them = _shown(center, person)
    for issued in made:
        child = authenticate(center.store, issued.credential)
        if not child.may("keys:own"):
            continue
        shown = _shown(center, child)
        assert shown.keys() <= all_of_them.keys() and issued.key.id in shown
        if child.tie is None:
            continue
        assert all(key.tie == child.tie for key in shown.values())
        for other in made:
            if other.key.tie == child.tie:
                assert keys.get_key(center.store, child, other.key.id).id == other.key.id
                continue
            for act in (keys.get_key, keys.revoke_key):
                with pytest.raises(NotFound):
                    act(center.store, child, other.key.id)


@given(scope=st.sampled_from(sorted(SCOPES)), tie=st.sampled_from(TIES[3:]))
def test_a_key_of_a_project_has_nothing_outside_it(center: Center, scope: str, tie: str) -> None:
    org, _, project = tie.partition("/")
    made = keys.create_key(center.store, center.people["mei"], org=org, project=project)
    actor = authenticate(center.store, made.credential)
    for name, place in center.ties.items():
        if place is None or name == tie:
            continue
        assert not actor.may(scope, place.org_id, place.project_id)
        assert not actor.may(scope, place.org_id, "")
    assert actor.orgs_with(scope) == frozenset()
    if scope not in PROJECT_SCOPES:
        assert not actor.may(scope) and not actor.may(scope, *_of(center.ties[tie]))


def _of(tie: Tie | None) -> tuple[str, str | None]:
    assert tie is not None
    return tie.org_id, tie.project_id
