"""A center right after its first run, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from tests.cheap_passwords import cheap_passwords

from pearlstreet.base.clock import VirtualClock
from pearlstreet.store.core import Store
from pearlstreet.tenancy import orgs, sessions, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.bootstrap import bootstrap
from pearlstreet.tenancy.model import Actor, Organisation
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole

PASSWORD = "correct horse battery staple"
PEER = "192.0.2.7"


@pytest.fixture(autouse=True)
def _cheap_hash() -> Iterator[None]:
    with cheap_passwords():
        yield


@dataclass(frozen=True)
class Center:
    """Its store, its clock, and its three operators."""

    store: Store
    clock: VirtualClock
    system: Actor
    security: Actor
    audit: Actor

    def org(self, slug: str) -> Organisation:
        return orgs.create_org(self.store, self.system, slug)

    def person(self, name: str, org: str | None = None, role: OrgRole = OrgRole.MEMBER) -> Actor:
        """A user with PASSWORD, signed in."""
        invited = users.create_user(self.store, self.security, name, org=org, role=role)
        sessions.set_password(self.store, invited.token, PASSWORD)
        return self.sign_in(name)

    def sign_in(self, name: str, peer: str = PEER) -> Actor:
        started = sessions.sign_in(self.store, name, PASSWORD, peer=peer)
        return authenticate(self.store, started.credential)


def _center(store: Store) -> Center:
    clock = VirtualClock()
    store = replace(store, clock=clock)
    first = bootstrap(store)
    assert first is not None
    operators = {role: authenticate(store, first.credentials[role]) for role in OperatorRole}
    return Center(
        store,
        clock,
        operators[OperatorRole.SYSTEM],
        operators[OperatorRole.SECURITY],
        operators[OperatorRole.AUDIT],
    )


@pytest.fixture
def center(store: Store) -> Center:
    """On both databases."""
    return _center(store)


@pytest.fixture
def sqlite_center(sqlite_store: Store) -> Center:
    """On SQLite, for tests that are not about rows."""
    return _center(sqlite_store)
