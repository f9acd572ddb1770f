from __future__ import annotations

import pytest

from pearlstreet.base.errors import Forbidden, Unauthenticated
from pearlstreet.store import audit
from pearlstreet.store.core import Store
from pearlstreet.tenancy import orgs, sessions, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.bootstrap import bootstrap, is_bootstrapped, recover
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.scopes import OperatorRole

PASSWORD = "a long and quiet afternoon"


def test_the_first_run_makes_one_operator_per_duty_and_no_later_run_does(store: Store) -> None:
    assert not is_bootstrapped(store)
    first = bootstrap(store)
    assert first is not None and is_bootstrapped(store)
    actors = {role: authenticate(store, key) for role, key in first.credentials.items()}
    assert {role: actor.operator_roles for role, actor in actors.items()} == {
        role: frozenset({role}) for role in OperatorRole
    }
    assert bootstrap(store) is None
    assert len(users.list_users(store, actors[OperatorRole.SECURITY])) == 3
    assert store.read(audit.verify).problem is None


def test_duties_are_apart_from_the_first_minute(sqlite_store: Store) -> None:
    first = bootstrap(sqlite_store)
    assert first is not None
    system, security, auditor = (
        authenticate(sqlite_store, first.credentials[role])
        for role in (OperatorRole.SYSTEM, OperatorRole.SECURITY, OperatorRole.AUDIT)
    )
    orgs.create_org(sqlite_store, system, "acme")
    for actor in (security, auditor):
        with pytest.raises(Forbidden):
            orgs.create_org(sqlite_store, actor, "other")
    for actor in (system, auditor):
        with pytest.raises(Forbidden):
            users.create_user(sqlite_store, actor, "eve")


def test_first_keys_stay_out_of_the_repr(sqlite_store: Store) -> None:
    first = bootstrap(sqlite_store)
    assert first is not None
    assert not any(key in repr(first) for key in [*first.credentials.values(), *first.tokens.values()])


def test_the_first_tokens_set_the_operators_passwords_once(sqlite_store: Store) -> None:
    first = bootstrap(sqlite_store)
    assert first is not None
    for role, token in first.tokens.items():
        assert sessions.set_password(sqlite_store, token, PASSWORD).operator_role is role
        assert sessions.sign_in(sqlite_store, role.value, PASSWORD, peer="-").user.operator_role is role
        with pytest.raises(Unauthenticated):
            sessions.set_password(sqlite_store, token, PASSWORD)


def test_whoever_has_the_files_can_recover_the_security_duty(store: Store) -> None:
    bootstrap(store)
    actor = authenticate(store, recover(store).credential)
    assert actor.operator_roles == {OperatorRole.SECURITY} and actor.label.startswith("security ")
    users.close_user(store, SYSTEM, "security")
    again = authenticate(store, recover(store).credential)
    assert again.operator_roles == {OperatorRole.SECURITY} and again.user_id != actor.user_id
    assert again.may("users:write") and store.read(audit.verify).problem is None
