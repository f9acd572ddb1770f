from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, TooMany, Unauthenticated
from pearlstreet.tenancy import keys, lockout, sessions, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.tables import sign_in_failures

from .conftest import PASSWORD, PEER, Center


def test_a_session_lasts_twelve_hours_and_one_idle(center: Center) -> None:
    center.person("alice")
    credential = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER).credential
    for _ in range(23):
        center.clock.advance(1800)
        assert authenticate(center.store, credential).label.startswith("alice ses_")
        center.store.write(lambda tx: None)  # behind the note of this use
    center.clock.advance(1800)
    with pytest.raises(Unauthenticated, match="ended"):
        authenticate(center.store, credential)
    idle = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER).credential
    center.clock.advance(3601)
    with pytest.raises(Unauthenticated, match="ended"):
        authenticate(center.store, idle)


def test_wrong_name_and_wrong_password_read_alike(center: Center) -> None:
    center.person("alice")
    users.create_user(center.store, center.security, "nopassword")
    center.person("gone")
    users.suspend_user(center.store, center.security, "gone")
    messages = set()
    for name, password in (
        ("alice", "wrong password"),
        ("nobody", PASSWORD),
        ("nopassword", ""),
        ("gone", PASSWORD),
        ("\x00\ud800", "\ud800"),
    ):
        with pytest.raises(Unauthenticated) as refused:
            sessions.sign_in(center.store, name, password, peer=PEER)
        messages.add(str(refused.value))
    assert len(messages) == 1


def _fail(center: Center, name: str = "alice", peer: str = PEER) -> None:
    with pytest.raises(Unauthenticated):
        sessions.sign_in(center.store, name, "wrong password", peer=peer)


def test_failures_cost_a_growing_delay_and_a_success_forgets_them(center: Center) -> None:
    center.person("alice")
    for _ in range(lockout.BY_USER.free):
        _fail(center)
    for wait_s in (1, 2, 4):
        with pytest.raises(TooMany) as delayed:
            sessions.sign_in(center.store, "alice", PASSWORD, peer="198.51.100.1")
        assert delayed.value.retry_after_s == wait_s
        center.clock.advance(wait_s)
        _fail(center)
    center.clock.advance(8)
    sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)
    for _ in range(lockout.BY_USER.free - 1):
        _fail(center)
    sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)


def test_one_address_cannot_try_everybody(center: Center) -> None:
    center.person("alice")
    for number in range(lockout.BY_PEER.free):
        _fail(center, f"user{number}", "2001:db8::1")
    with pytest.raises(TooMany):
        sessions.sign_in(center.store, "alice", PASSWORD, peer="2001:db8::ffff")
    sessions.sign_in(center.store, "alice", PASSWORD, peer="2001:db8:0:1::1")


def test_guesses_at_the_same_moment_are_all_counted(center: Center) -> None:
    center.person("alice")

    def guess(number: int) -> type[Exception]:
        try:
            sessions.sign_in(center.store, "alice", f"guess number {number}", peer=f"203.0.113.{number}")
        except (Unauthenticated, TooMany) as error:
            return type(error)
        raise AssertionError("let in")

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(guess, range(32)))
    assert outcomes.count(Unauthenticated) == lockout.BY_USER.free


def test_failures_are_forgotten_after_a_day_and_swept(center: Center) -> None:
    _fail(center, "stranger")
    kept = center.store.read(lambda tx: tx.rows(sign_in_failures.select()))
    assert len(kept) == 2 and not any("stranger" in str(row) or PEER in str(row) for row in kept)
    center.clock.advance(86_401)
    assert center.store.write(sessions.forget_old) == 2


def test_a_one_time_token_works_once_and_not_for_ever(center: Center) -> None:
    invited = users.create_user(center.store, center.security, "alice")
    with pytest.raises(InvalidInput):
        sessions.set_password(center.store, invited.token, "short")
    sessions.set_password(center.store, invited.token, PASSWORD)
    second = users.issue_password_link(center.store, center.security, "alice").token
    third = users.issue_password_link(center.store, center.security, "alice").token
    center.clock.advance(72 * 3600)
    for token in (invited.token, second, third, "pearl_x", third.replace("pearllink", "pearl")):
        with pytest.raises(Unauthenticated):
            sessions.set_password(center.store, token, PASSWORD)
    with pytest.raises(Unauthenticated):
        authenticate(center.store, third)


def test_a_new_password_ends_the_other_sessions(center: Center) -> None:
    alice = center.person("alice")
    other = sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER).credential
    authenticate(center.store, other)
    new = "another long pass phrase"
    with pytest.raises(Forbidden, match="current password"):
        sessions.change_password(center.store, alice, "wrong password", new, peer=PEER)
    with pytest.raises(InvalidInput):
        sessions.change_password(center.store, alice, PASSWORD, "password1234", peer=PEER)
    sessions.change_password(center.store, alice, PASSWORD, new, peer=PEER)
    with pytest.raises(Unauthenticated):
        authenticate(center.store, other)
    assert [session.id for session in sessions.list_sessions(center.store, alice)] == [alice.session_id]
    with pytest.raises(Unauthenticated):
        sessions.sign_in(center.store, "alice", PASSWORD, peer=PEER)
    sessions.sign_in(center.store, "alice", new, peer=PEER)


def test_a_key_cannot_change_the_password(center: Center) -> None:
    alice = center.person("alice")
    key = authenticate(center.store, keys.create_key(center.store, alice).credential)
    with pytest.raises(Forbidden):
        sessions.change_password(center.store, key, PASSWORD, "another long pass phrase", peer=PEER)


def test_sign_out_ends_one_session_and_strangers_end_none(center: Center) -> None:
    alice, bob = center.person("alice"), center.person("bob")
    assert alice.session_id is not None
    with pytest.raises(NotFound):
        sessions.end_session(center.store, bob, alice.session_id)
    sessions.sign_out(center.store, alice)
    assert sessions.list_sessions(center.store, alice) == []
    assert len(sessions.list_sessions(center.store, bob)) == 1
