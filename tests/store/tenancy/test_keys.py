from __future__ import annotations

import pytest
from tests.joining import join

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from pearlstreet.store.core import Store
from pearlstreet.tenancy import keys, members, orgs, users
from pearlstreet.tenancy.authentication import KEPT_S, authenticate
from pearlstreet.tenancy.scopes import PROJECT_SCOPES, OrgRole

from .conftest import Center

DAY_S = 86_400


def test_a_key_acts_for_its_user_within_its_scopes(center: Center) -> None:
    acme = center.org("acme")
    alice = center.person("alice", "acme")
    issued = keys.create_key(center.store, alice, "ci", scopes=["jobs:read"])
    actor = authenticate(center.store, issued.credential)
    assert actor.user_id == alice.user_id and actor.key_id == issued.key.id
    actor.require("jobs:read", acme.id)
    for scope in ("jobs:write", "keys:own", "secrets:write"):
        assert not actor.may(scope, acme.id)
    assert issued.key.expires_us == center.clock.now_us() + 90 * DAY_S * US_PER_S


@pytest.mark.parametrize("kind", ["session", "key"])
def test_a_key_never_carries_more_than_its_creator(center: Center, kind: str) -> None:
    center.org("acme")
    actor = center.person("vera", "acme", OrgRole.VIEWER)
    if kind == "key":
        narrow = keys.create_key(center.store, actor, scopes=["jobs:read", "keys:own"])
        actor = authenticate(center.store, narrow.credential)
    held = keys.create_key(center.store, actor).key.scopes
    assert held <= actor.all_scopes() and "jobs:write" not in held
    with pytest.raises(Forbidden):
        keys.create_key(center.store, actor, scopes=["jobs:write"])


def test_a_role_taken_away_shrinks_keys_that_exist(center: Center) -> None:
    acme = center.org("acme")
    alice = center.person("alice", "acme")
    credential = keys.create_key(center.store, alice).credential
    authenticate(center.store, credential).require("jobs:write", acme.id)
    members.set_role(center.store, center.security, "acme", "alice", OrgRole.VIEWER)
    assert not authenticate(center.store, credential).may("jobs:write", acme.id)
    members.remove_member(center.store, center.security, "acme", "alice")
    with pytest.raises(NotFound):
        authenticate(center.store, credential).require("jobs:read", acme.id)


def test_a_key_tied_to_one_organisation_reaches_no_other(center: Center) -> None:
    acme, other = center.org("acme"), center.org("other")
    alice = center.person("alice", "acme")
    join(center.store, "alice", "other", OrgRole.OWNER)
    alice = center.sign_in("alice")
    issued = keys.create_key(center.store, alice, org="acme")
    assert "users:write" not in issued.key.scopes
    actor = authenticate(center.store, issued.credential)
    assert actor.may("jobs:write", acme.id)
    with pytest.raises(NotFound):
        actor.require("jobs:read", other.id)


def test_a_key_tied_to_a_project_acts_in_it_alone(center: Center) -> None:
    acme = center.org("acme")
    olga = center.person("olga", "acme", OrgRole.OWNER)
    vision = orgs.create_project(center.store, olga, "acme", "vision")
    issued = keys.create_key(center.store, olga, org="acme", project="vision")
    assert issued.key.place == "acme/vision" and issued.key.scopes <= PROJECT_SCOPES
    actor = authenticate(center.store, issued.credential)
    assert actor.may("jobs:write", acme.id, vision.id) and not actor.may("jobs:write", acme.id)
    assert orgs.get_project(center.store, actor, "acme").id == vision.id
    assert [project.slug for project in orgs.list_projects(center.store, actor, "acme")] == ["vision"]
    with pytest.raises(NotFound, match="no project default"):
        orgs.get_project(center.store, actor, "acme", "default")
    with pytest.raises(Forbidden, match="tied to the project acme/vision"):
        orgs.rename_org(center.store, actor, "acme", "stolen")
    with pytest.raises(Forbidden, match="to a whole organisation"):
        keys.create_key(center.store, olga, org="acme", project="vision", scopes=["users:write"])
    with pytest.raises(InvalidInput, match="needs its organisation"):
        keys.create_key(center.store, olga, project="vision")
    with pytest.raises(NotFound):
        keys.create_key(center.store, olga, org="acme", project="nothing")


@pytest.mark.parametrize("project", [None, "vision"])
def test_a_tied_key_makes_keys_of_its_tie_that_live_no_longer(center: Center, project: str | None) -> None:
    center.org("acme")
    olga = center.person("olga", "acme", OrgRole.OWNER)
    orgs.create_project(center.store, olga, "acme", "vision")
    parent = keys.create_key(center.store, olga, org="acme", project=project, life_days=2)
    actor = authenticate(center.store, parent.credential)
    child = keys.create_key(center.store, actor).key
    assert child.tie == parent.key.tie and child.place == parent.key.place
    assert child.expires_us == parent.key.expires_us
    assert keys.create_key(center.store, actor, life_days=1).key.expires_us < child.expires_us
    with pytest.raises(Forbidden, match="cannot outlive"):
        keys.create_key(center.store, actor, life_days=3)
    with pytest.raises(Forbidden, match="same tie"):
        keys.create_key(center.store, actor, org="acme", project=None if project else "vision")
    other = keys.create_key(center.store, olga, org="acme", project=None if project else "vision").key
    shown = {key.id for key in keys.list_keys(center.store, actor, everyone=True)}
    assert child.id in shown and other.id not in shown
    with pytest.raises(NotFound):
        keys.revoke_key(center.store, actor, other.id)


def test_a_key_that_was_just_revoked_elsewhere_makes_no_more(center: Center) -> None:
    """Another process may let a revoked key in for seconds: what it made then would live on."""
    center.org("acme")
    alice = center.person("alice", "acme")
    issued = keys.create_key(center.store, alice)
    still_known = authenticate(center.store, issued.credential)
    keys.revoke_key(center.store, alice, issued.key.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.create_key(center.store, still_known)


def test_a_revoked_key_is_refused_at_once_with_all_it_made(center: Center) -> None:
    parent = keys.create_key(center.store, center.system, "parent")
    actor = authenticate(center.store, parent.credential)
    child = keys.create_key(center.store, actor, "child").credential
    grandchild = keys.create_key(center.store, authenticate(center.store, child), "grandchild").credential
    authenticate(center.store, grandchild)
    keys.revoke_key(center.store, center.security, parent.key.id)
    for credential in (parent.credential, child, grandchild):
        with pytest.raises(Unauthenticated):
            authenticate(center.store, credential)
    again = keys.revoke_key(center.store, center.security, parent.key.id)
    assert again.revoked_us is not None


def test_an_expired_key_is_refused_even_while_it_is_remembered(center: Center) -> None:
    issued = keys.create_key(center.store, center.system, life_days=1)
    center.clock.advance(DAY_S - KEPT_S / 2)
    authenticate(center.store, issued.credential)
    center.clock.advance(KEPT_S / 2)
    with pytest.raises(Unauthenticated, match="expired"):
        authenticate(center.store, issued.credential)


@pytest.mark.parametrize("days", [0, -1, 366.1, float("nan"), float("inf")])
def test_a_key_lives_within_bounds(sqlite_center: Center, days: float) -> None:
    with pytest.raises(InvalidInput):
        keys.create_key(sqlite_center.store, sqlite_center.system, life_days=days)


def test_unknown_scopes_and_other_peoples_keys_are_refused(sqlite_center: Center) -> None:
    store = sqlite_center.store
    for scopes in (["jobs:rule"], []):
        with pytest.raises(InvalidInput):
            keys.create_key(store, sqlite_center.system, scopes=scopes)
    with pytest.raises(Forbidden):
        keys.create_key(store, sqlite_center.security, for_user=sqlite_center.system.user_id)


def test_wrong_keys_read_all_alike(center: Center) -> None:
    right = keys.create_key(center.store, center.system).credential
    kind, public, secret = right.split("_")
    other = "0" if secret[-1] != "0" else "1"
    messages = set()
    for wrong in (
        f"{kind}_{public}_{secret[:-1]}{other}",
        f"{kind}_{'0' * 26}_{secret}",
        f"pearlsession_{public}_{secret}",
        f"pearllink_{public}_{secret}",
        right + "\n",
        right.upper(),
        "",
        "\ud800",
        "ключ",
        "x" * 100_000,
    ):
        with pytest.raises(Unauthenticated) as refused:
            authenticate(center.store, wrong)
        messages.add(str(refused.value))
    assert len(messages) == 1


def test_keys_of_strangers_are_not_there(center: Center) -> None:
    center.org("acme")
    center.org("other")
    alice, bob = center.person("alice", "acme"), center.person("bob", "other", OrgRole.OWNER)
    issued = keys.create_key(center.store, alice, org="acme").key
    for act in (keys.get_key, keys.revoke_key):
        with pytest.raises(NotFound):
            act(center.store, bob, issued.id)
        with pytest.raises(NotFound):
            act(center.store, bob, "key_nothing\x00")
    assert keys.list_keys(center.store, bob, everyone=True) == []
    assert [key.id for key in keys.list_keys(center.store, alice)] == [issued.id]
    owner = center.person("olga", "acme", OrgRole.OWNER)
    assert [key.id for key in keys.list_keys(center.store, owner, everyone=True)] == [issued.id]
    keys.revoke_key(center.store, owner, issued.id)


def test_last_use_is_written_rarely_and_not_waited_for(center: Center) -> None:
    issued = keys.create_key(center.store, center.system)

    def used_us() -> int | None:
        center.store.write(lambda tx: None)  # behind whatever is still on its way
        return keys.get_key(center.store, center.security, issued.key.id).last_used_us

    assert used_us() is None
    authenticate(center.store, issued.credential)
    first = used_us()
    assert first == center.clock.now_us()
    center.clock.advance(600)
    authenticate(center.store, issued.credential)
    assert used_us() == first
    center.clock.advance(3600)
    authenticate(center.store, issued.credential)
    assert used_us() == center.clock.now_us()


def test_a_suspended_user_or_organisation_is_stopped_at_once(center: Center) -> None:
    acme = center.org("acme")
    alice = center.person("alice", "acme")
    credential = keys.create_key(center.store, alice).credential
    authenticate(center.store, credential).require("jobs:write", acme.id)
    orgs.suspend_org(center.store, center.system, "acme", "unpaid")
    actor = authenticate(center.store, credential)
    actor.require("jobs:read", acme.id)
    with pytest.raises(Forbidden, match="suspended"):
        actor.require("jobs:write", acme.id)
    orgs.resume_org(center.store, center.system, "acme")
    authenticate(center.store, credential).require("jobs:write", acme.id)
    users.suspend_user(center.store, center.security, "alice", "lost laptop")
    with pytest.raises(Unauthenticated, match="suspended"):
        authenticate(center.store, credential)
    users.resume_user(center.store, center.security, "alice")
    authenticate(center.store, credential)


def test_a_read_that_raced_a_revocation_is_not_remembered(sqlite_store: Store) -> None:
    """The answer was looked up before the revocation and comes back after it."""
    from pearlstreet.tenancy import authentication as room
    from pearlstreet.tenancy.bootstrap import bootstrap
    from pearlstreet.tenancy.model import SYSTEM
    from pearlstreet.tenancy.scopes import OperatorRole

    first = bootstrap(sqlite_store)
    assert first is not None
    credential = first.credentials[OperatorRole.SYSTEM]
    cache = room._cache_of(sqlite_store)
    generation = cache.generation
    actor = authenticate(sqlite_store, credential)
    assert actor.key_id is not None
    keys.revoke_key(sqlite_store, SYSTEM, actor.key_id)
    late = room._Known(actor, 1 << 62, sqlite_store.clock.monotonic_s() + 60)
    import hashlib

    cache.put(hashlib.sha256(credential.encode()).digest(), late, generation)
    with pytest.raises(Unauthenticated):
        authenticate(sqlite_store, credential)
