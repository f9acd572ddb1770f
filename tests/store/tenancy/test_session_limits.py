"""Sessions and keys to the microsecond and to the row: the moment they end, whose rows change, what is cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.joining import join

from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, PearlError, TooMany, Unauthenticated
from pearlstreet.store.core import Store
from pearlstreet.tenancy import keys, lockout, passwords, sessions, users
from pearlstreet.tenancy.authentication import IDLE_US, KEPT_S, authenticate, remembered
from pearlstreet.tenancy.keys import MAX_LIFE_DAYS
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.sessions import LIFE_US
from pearlstreet.tenancy.tables import api_keys, oidc_flows, password_links
from pearlstreet.tenancy.tables import sessions as session_rows
from pearlstreet.tenancy.tables import users as user_rows

from .conftest import PASSWORD, PEER, Center

HOUR_S = 3600


def _fresh(center: Center) -> Store:
    """The same database as another server process sees it: nothing is cached yet."""
    return replace(center.store, hints=type(center.store.hints)())


def _set(center: Center, table: sa.Table, row_id: str, **values: Any) -> None:
    center.store.write(lambda tx: tx.execute(sa.update(table).where(table.c.id == row_id).values(**values)))


def _ids(center: Center, table: sa.Table) -> set[str]:
    return set(center.store.read(lambda tx: tx.execute(sa.select(table.c.id)).scalars().all()))


@pytest.mark.parametrize("column", ["expires_us", "last_seen_us"])
def test_a_session_ends_at_its_very_microsecond(center: Center, column: str) -> None:
    alice = center.person("alice")
    started = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)
    now_us = center.clock.now_us()
    end_us = now_us if column == "expires_us" else now_us - IDLE_US
    _set(center, session_rows, started.session.id, **{column: end_us + 1})
    assert authenticate(_fresh(center), started.credential).user_id == alice.user_id
    assert started.session.id in {one.id for one in sessions.list_sessions(center.store, alice)}
    center.store.write(sessions.forget_old)
    assert started.session.id in _ids(center, session_rows)
    center.store.write(lambda tx: None)
    _set(center, session_rows, started.session.id, **{column: end_us})
    with pytest.raises(Unauthenticated, match="ended"):
        authenticate(_fresh(center), started.credential)
    assert started.session.id not in {one.id for one in sessions.list_sessions(center.store, alice)}
    center.store.write(sessions.forget_old)
    assert started.session.id not in _ids(center, session_rows)
    assert alice.session_id in _ids(center, session_rows), "sessions that live are kept"


def test_links_and_sign_in_flows_are_deleted_when_they_are_over_and_not_before(center: Center) -> None:
    link_of = {}
    for name in ("over", "open"):
        before = _ids(center, password_links)
        users.create_user(center.store, center.security, name)
        link_of[name] = (_ids(center, password_links) - before).pop()
    now_us = center.clock.now_us()
    _set(center, password_links, link_of["over"], expires_us=now_us)
    _set(center, password_links, link_of["open"], expires_us=now_us + 1)
    blank = {column.name: b"" if isinstance(column.type, sa.LargeBinary) else "" for column in oidc_flows.c}
    for name, created_us in (("over", now_us - HOUR_S * 10**6), ("open", now_us - HOUR_S * 10**6 + 1)):
        row = {**blank, "state_hash": name, "created_us": created_us}
        center.store.write(lambda tx, row=row: tx.execute(sa.insert(oidc_flows).values(**row)))  # type: ignore[misc]
    assert center.store.write(sessions.forget_old) == 2
    left = center.store.read(lambda tx: tx.execute(sa.select(oidc_flows.c.state_hash)).scalars().all())
    assert left == ["open"]
    assert link_of["open"] in _ids(center, password_links)
    assert link_of["over"] not in _ids(center, password_links)


def test_a_password_changes_for_its_owner_only(center: Center) -> None:
    center.person("bob")
    alice = center.person("alice")
    bobs = center.sign_in("bob")
    sessions.change_password(center.store, alice, PASSWORD, PASSWORD + " new", peer=PEER)
    assert sessions.sign_in(center.store, "bob", PASSWORD, peer=PEER).user.name == "bob"
    assert bobs.session_id in _ids(center, session_rows)
    with pytest.raises(Unauthenticated):
        sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)


def test_wrong_present_passwords_are_counted_and_a_right_one_forgives(center: Center) -> None:
    alice = center.person("alice")

    def change(current: str) -> None:
        sessions.change_password(center.store, alice, current, PASSWORD, peer=PEER)

    for _ in range(lockout.BY_USER.free - 1):
        with pytest.raises(Forbidden):
            change("wrong password")
    change(PASSWORD)
    for _ in range(lockout.BY_USER.free):
        with pytest.raises(Forbidden):
            change("wrong password")
    with pytest.raises(TooMany):
        change(PASSWORD)


def test_a_session_is_ended_by_its_id_and_no_other_with_it(center: Center) -> None:
    alice = center.person("alice")
    other = center.sign_in("alice")
    assert other.session_id is not None
    credential = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER).credential
    third = authenticate(center.store, credential)
    sessions.end_session(center.store, alice, other.session_id)
    assert {alice.session_id, third.session_id} <= _ids(center, session_rows)
    assert other.session_id not in _ids(center, session_rows)
    assert third.session_id is not None
    sessions.end_session(center.store, alice, third.session_id)
    with pytest.raises(Unauthenticated):  # not from the cache either
        authenticate(center.store, credential)
    with pytest.raises(NotFound):
        sessions.end_session(center.store, alice, third.session_id)
    mallory = center.person("mallory")
    assert alice.session_id is not None
    with pytest.raises(NotFound):
        sessions.end_session(center.store, mallory, alice.session_id)
    with pytest.raises(Forbidden):
        sessions.list_sessions(center.store, mallory, alice.user_id)
    assert len(sessions.list_sessions(center.store, center.security, alice.user_id)) == 1


def _suspend_now(center: Center) -> None:
    users.suspend_user(center.store, center.security, "alice")


def _other_password(center: Center) -> None:
    hashed = passwords.hash_password("another one entirely", center.store.rng)
    rows = sa.update(user_rows).where(user_rows.c.name == "alice").values(password_hash=hashed)
    center.store.write(lambda tx: tx.execute(rows))


@pytest.mark.parametrize("change", [_suspend_now, _other_password])
def test_what_changed_while_a_password_was_checked_decides(
    center: Center, change: Callable[[Center], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    center.person("alice")
    real = passwords.is_password

    def checked(*given: Any) -> bool:
        right = real(*given)
        change(center)
        return right

    monkeypatch.setattr(passwords, "is_password", checked)
    with pytest.raises(Unauthenticated, match="changed meanwhile"):
        sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)


def test_a_suspended_account_is_refused_with_credentials_it_has(center: Center) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    credential = keys.create_key(center.store, alice).credential
    users.suspend_user(center.store, center.security, "alice")
    with pytest.raises(Unauthenticated, match="suspended"):
        authenticate(_fresh(center), credential)


def test_a_use_is_noted_at_the_credential_that_was_used(center: Center) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    used, unused = (keys.create_key(center.store, alice) for _ in range(2))
    started, idle = (sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER) for _ in range(2))
    center.clock.advance(61)
    store = _fresh(center)
    for credential in (used.credential, started.credential):
        authenticate(store, credential)
    center.store.write(lambda tx: None)  # behind the notes of these uses
    now_us = center.clock.now_us()
    uses = center.store.read(
        lambda tx: dict(tx.execute(sa.select(api_keys.c.id, api_keys.c.last_used_us)).all())
    )
    assert uses[used.key.id] == now_us and uses[unused.key.id] is None
    seen = center.store.read(
        lambda tx: dict(tx.execute(sa.select(session_rows.c.id, session_rows.c.last_seen_us)).all())
    )
    assert seen[started.session.id] == now_us and seen[idle.session.id] < now_us


def test_right_answers_are_cached_for_a_while_and_dropped_when_rights_change(center: Center) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    credential = keys.create_key(center.store, alice).credential
    store = _fresh(center)
    assert remembered(store, credential) is None
    actor = authenticate(store, credential)
    assert remembered(store, credential) == actor
    center.clock.advance(KEPT_S)
    assert remembered(store, credential) is None
    authenticate(store, credential)
    users.suspend_user(store, center.security, "alice")
    assert remembered(store, credential) is None


def test_a_cached_answer_ends_with_its_credential(center: Center) -> None:
    alice = center.person("alice")
    started = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)
    _set(center, session_rows, started.session.id, expires_us=center.clock.now_us() + 2_000_000)
    store = _fresh(center)
    assert authenticate(store, started.credential).user_id == alice.user_id
    center.clock.advance(2)
    assert remembered(store, started.credential) is None


def test_an_odd_credential_is_refused_and_not_a_fault(center: Center) -> None:
    with pytest.raises(Unauthenticated):
        authenticate(center.store, "pearl_\ud800")


def test_a_tie_is_named_by_its_own_organisation_and_project(center: Center) -> None:
    center.org("acme")
    center.org("other")
    alice = center.person("alice", "acme")
    made = keys.create_key(center.store, alice, org="acme", project="default")
    tie = authenticate(center.store, made.credential).tie
    assert tie is not None and tie.name == "acme/default"
    whole = authenticate(center.store, keys.create_key(center.store, alice, org="acme").credential).tie
    assert whole is not None and whole.name == "acme"


def _without_own_keys(center: Center) -> Actor:
    made = keys.create_key(center.store, center.person("alice", "acme"), scopes=["jobs:read"])
    return authenticate(center.store, made.credential)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, actor: keys.create_key(store, actor, scopes=["jobs:read"]),
        keys.list_keys,
        lambda store, actor: keys.get_key(store, actor, actor.key_id),
        lambda store, actor: keys.revoke_key(store, actor, actor.key_id),
    ],
    ids=["create", "list", "get", "revoke"],
)
def test_a_key_without_the_scope_for_keys_does_nothing_with_them(
    center: Center, ask: Callable[[Store, Actor], Any]
) -> None:
    center.org("acme")
    actor = _without_own_keys(center)
    with pytest.raises(Forbidden, match="keys:own"):
        ask(center.store, actor)


def test_keys_are_listed_page_by_page(center: Center) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    made = sorted(keys.create_key(center.store, alice).key.id for _ in range(5))
    pages, after = [], None
    while page := keys.list_keys(center.store, alice, after=after, limit=2):
        pages.append([key.id for key in page])
        after = page[-1].id
    assert pages == [made[:2], made[2:4], made[4:]]
    with pytest.raises(InvalidInput, match="position in a list"):
        keys.list_keys(center.store, alice, after="nonsense")


def test_a_tied_key_lists_keys_with_its_own_tie(center: Center) -> None:
    center.org("acme")
    center.org("other")
    center.person("alice", "acme")
    join(center.store, "alice", "other")
    alice = center.sign_in("alice")
    tied = keys.create_key(center.store, alice, org="acme")
    beside = [
        keys.create_key(center.store, alice),
        keys.create_key(center.store, alice, org="other"),
        keys.create_key(center.store, alice, org="acme", project="default"),
    ]
    actor = authenticate(center.store, tied.credential)
    assert [key.id for key in keys.list_keys(center.store, actor)] == [tied.key.id]
    for other in beside:
        with pytest.raises(NotFound):
            keys.get_key(center.store, actor, other.key.id)


def test_a_tied_key_may_name_its_own_organisation_and_needs_none(center: Center) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    whole = authenticate(center.store, keys.create_key(center.store, alice, org="acme").credential)
    assert keys.create_key(center.store, whole).key.tie == whole.tie
    with pytest.raises(Forbidden, match="same tie"):
        keys.create_key(center.store, whole, project="default")
    project = authenticate(
        center.store, keys.create_key(center.store, alice, org="acme", project="default").credential
    )
    assert keys.create_key(center.store, project, project="default").key.tie == project.tie
    assert keys.create_key(center.store, project, org="acme", project="default").key.tie == project.tie


@pytest.mark.parametrize(
    ("life_days", "fits"), [(MAX_LIFE_DAYS, True), (MAX_LIFE_DAYS + 0.001, False), (0, False)]
)
def test_lives_of_keys_are_bounded(center: Center, life_days: float, fits: bool) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    if fits:
        assert keys.create_key(center.store, alice, life_days=life_days).key.expires_us > 0
        return
    with pytest.raises(InvalidInput):
        keys.create_key(center.store, alice, life_days=life_days)


def test_a_key_may_make_one_that_ends_with_it_and_none_after_it(center: Center) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    parent = authenticate(center.store, keys.create_key(center.store, alice, life_days=2).credential)
    assert keys.create_key(center.store, parent, life_days=2).key.expires_us == parent.expires_us
    with pytest.raises(Forbidden):
        keys.create_key(center.store, parent, life_days=2.0001)
    store = _fresh(center)
    assert parent.key_id is not None
    _set(center, api_keys, parent.key_id, expires_us=center.clock.now_us())
    with pytest.raises(Unauthenticated):
        keys.create_key(store, parent)


@pytest.mark.parametrize("label", ["x" * 101, "tab\there"])
def test_labels_of_keys_are_bounded(center: Center, label: str) -> None:
    center.org("acme")
    alice = center.person("alice", "acme")
    assert keys.create_key(center.store, alice, "x" * 100).key.label == "x" * 100
    with pytest.raises(PearlError) as refused:
        keys.create_key(center.store, alice, label)
    assert "label" in str([problem.field for problem in refused.value.problems])


def test_a_session_lives_as_long_as_is_said(center: Center) -> None:
    center.person("alice")
    started = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)
    assert started.session.expires_us - started.session.created_us == LIFE_US
