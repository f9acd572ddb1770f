"""What sign-in, sessions, passwords and keys leave in the audit log: who did what to what, with which details."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from pearlstreet.base.errors import Unauthenticated
from pearlstreet.store.tables import audit
from pearlstreet.tenancy import keys, lockout, sessions, users
from pearlstreet.tenancy.authentication import authenticate

from .conftest import PASSWORD, PEER, Center


def _rows(center: Center, action: str) -> list[tuple[str, str, str | None, Any]]:
    """(actor, target, organisation, details) of the rows with this action, oldest first."""
    query = sa.select(audit).where(audit.c.action == action).order_by(audit.c.seq)
    found = center.store.read(lambda tx: tx.rows(query))
    return [(row["actor"], row["target"], row["org_id"], json.loads(row["details"])) for row in found]


def test_sign_in_and_the_end_of_a_session_are_audited(center: Center) -> None:
    center.person("alice")
    started = sessions.sign_in(center.store, "alice", PASSWORD, peer="198.51.100.7")
    newest = _rows(center, "session.start")[-1]
    assert newest == ("alice", started.session.id, None, {"how": "password", "peer": "198.51.100.7"})
    actor = authenticate(center.store, started.credential)
    sessions.sign_out(center.store, actor)
    assert _rows(center, "session.end") == [(actor.label, started.session.id, None, {})]


def test_delays_are_audited_when_they_begin(center: Center) -> None:
    alice = center.person("alice")
    for _ in range(lockout.BY_USER.free + 1):
        with pytest.raises(Unauthenticated):
            sessions.sign_in(center.store, "alice", "wrong password", peer=PEER)
        center.clock.advance(60)
    rows = _rows(center, "session.delays")
    details = {"peer": PEER, "failures": lockout.BY_USER.free}
    assert rows == [("center", alice.user_id, None, details)]


def test_delays_of_a_name_without_account_are_not_audited(center: Center) -> None:
    for _ in range(lockout.BY_USER.free + 1):
        with pytest.raises(Unauthenticated):
            sessions.sign_in(center.store, "absent", "wrong password", peer=PEER)
        center.clock.advance(60)
    assert _rows(center, "session.delays") == []


def test_passwords_that_are_set_and_changed_are_audited(center: Center) -> None:
    invited = users.create_user(center.store, center.security, "alice")
    owner = sessions.set_password(center.store, invited.token, PASSWORD)
    assert _rows(center, "user.password_set") == [("alice", owner.id, None, {})]
    actor = center.sign_in("alice")
    changed = sessions.change_password(center.store, actor, PASSWORD, PASSWORD + " new", peer=PEER)
    assert changed.id == owner.id
    assert _rows(center, "user.password_change") == [(actor.label, owner.id, None, {})]


def test_keys_that_are_made_and_revoked_are_audited(center: Center) -> None:
    acme = center.org("acme")
    alice = center.person("alice", "acme")
    made = keys.create_key(
        center.store, alice, "ci", scopes=["jobs:read", "keys:own"], org="acme", project="default"
    ).key
    details = {
        "user": alice.user_id,
        "label": "ci",
        "scopes": ["jobs:read", "keys:own"],
        "project": made.project_id,
    }
    assert _rows(center, "key.create")[-1] == (alice.label, made.id, acme.id, details)
    assert made.project_id is not None and made.place == "acme/default"
    for _ in range(2):  # the second time it has ended already
        keys.revoke_key(center.store, alice, made.id)
    assert _rows(center, "key.revoke") == [(alice.label, made.id, acme.id, {"user": alice.user_id})]
