"""Random joins, invitations, leaves, removals and choices: nobody but the person moves the person's requests."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.conftest import make_store
from tests.property.machines import lives

from pearlstreet.api.request_inputs import org_of
from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import InvalidInput, PearlError
from pearlstreet.tenancy import invitations, keys, members, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.scopes import OrgRole

ORGS = ("aa", "bb", "cc")
PEOPLE = ("ada", "bob", "cid")
people = st.sampled_from(PEOPLE)
places = st.sampled_from(ORGS)
roles = st.sampled_from(OrgRole)


class Memberships(RuleBasedStateMachine):
    """Three organisations, each with an owner of its own, and three people; ada was created in aa."""

    @initialize()
    def begin(self) -> None:
        """Fill a fresh database."""
        self.store = replace(make_store("sqlite://"), clock=VirtualClock())
        self.keys: dict[str, str] = {}
        for slug in ORGS:
            orgs.create_org(self.store, SYSTEM, slug)
            self._account(f"owner-{slug}", slug, OrgRole.OWNER)
        for name in PEOPLE:
            self._account(name, "aa" if name == "ada" else None)
        self.member = {name: {"aa"} if name == "ada" else set() for name in PEOPLE}
        self.destination: dict[str, str | None] = dict.fromkeys(PEOPLE) | {"ada": "aa"}
        self.offers: list[tuple[str, str, str]] = []

    def _account(self, name: str, org: str | None, role: OrgRole = OrgRole.MEMBER) -> None:
        user = users.create_user(self.store, SYSTEM, name, org=org, role=role).user
        self.keys[name] = keys.create_key(self.store, SYSTEM, name, for_user=user.id).credential

    def actor(self, name: str) -> Actor:
        """Whoever holds the untied key of that account."""
        return authenticate(self.store, self.keys[name])

    @rule(name=people, org=places, role=roles)
    def invite(self, name: str, org: str, role: OrgRole) -> None:
        """An owner invites: that alone changes nothing for the person."""
        with suppress(PearlError):
            sent = invitations.invite(self.store, self.actor(f"owner-{org}"), org, name, role, has_mail=False)
            self.offers.append((sent.id, name, org))

    @rule(name=people, number=st.integers(0, 5), as_default=st.booleans())
    def accept(self, name: str, number: int, as_default: bool) -> None:
        """Somebody accepts one of the newest offers, also such as are not theirs or are over."""
        if number >= len(self.offers):
            return
        offer, whose, org = self.offers[-1 - number]
        try:
            invitations.accept_invitation(self.store, self.actor(name), offer, as_default=as_default)
        except PearlError:
            return
        assert name == whose, "an offer is the invited person's"
        self.member[name].add(org)
        if as_default:
            self.destination[name] = org

    @rule(name=people, number=st.integers(0, 5))
    def decline(self, name: str, number: int) -> None:
        """Somebody declines."""
        if number < len(self.offers):
            with suppress(PearlError):
                invitations.decline_invitation(self.store, self.actor(name), self.offers[-1 - number][0])

    @rule(number=st.integers(0, 5))
    def withdraw(self, number: int) -> None:
        """The organisation takes an offer back."""
        if number < len(self.offers):
            offer, _, org = self.offers[-1 - number]
            with suppress(PearlError):
                invitations.withdraw_invitation(self.store, self.actor(f"owner-{org}"), org, offer)

    @rule(name=people, org=places)
    def leave(self, name: str, org: str) -> None:
        """The person leaves."""
        with suppress(PearlError):
            members.leave_org(self.store, self.actor(name), org)
            self._left(name, org)

    @rule(name=people, org=places)
    def remove(self, name: str, org: str) -> None:
        """An owner removes them."""
        with suppress(PearlError):
            members.remove_member(self.store, self.actor(f"owner-{org}"), org, name)
            self._left(name, org)

    @rule(name=people, org=places, role=roles)
    def promote(self, name: str, org: str, role: OrgRole) -> None:
        """An owner changes a role."""
        with suppress(PearlError):
            members.set_role(self.store, self.actor(f"owner-{org}"), org, name, role)

    @rule(name=people, org=st.one_of(st.none(), places))
    def choose(self, name: str, org: str | None) -> None:
        """The person chooses."""
        with suppress(PearlError):
            members.set_default_org(self.store, self.actor(name), org)
            assert org is None or org in self.member[name]
            self.destination[name] = org

    @rule(org=places)
    def suspend_and_resume(self, org: str) -> None:
        """What operators do to an organisation moves no request either."""
        orgs.suspend_org(self.store, SYSTEM, org)
        orgs.resume_org(self.store, SYSTEM, org)

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        """Offers expire; keys are made to last, so that only the offers do."""
        clock = self.store.clock
        assert isinstance(clock, VirtualClock)
        clock.advance(days * 86_400)
        for name in self.keys:
            user = users.get_user(self.store, SYSTEM, name)
            made = keys.create_key(self.store, SYSTEM, name, for_user=user.id)
            self.keys[name] = made.credential

    def _left(self, name: str, org: str) -> None:
        self.member[name].discard(org)
        if self.destination[name] == org:
            self.destination[name] = None

    @invariant()
    def memberships_are_what_was_agreed_to(self) -> None:
        """Exactly the accepted and not ended ones."""
        for name in PEOPLE:
            held = {one.org_slug for one in members.list_memberships(self.store, self.actor(name))}
            assert held == self.member[name]

    @invariant()
    def requests_go_where_the_person_chose_or_nowhere(self) -> None:
        """Never to another organisation instead."""
        for name in PEOPLE:
            actor = self.actor(name)
            try:
                found: str | None = actor.org_slugs[org_of(actor, None)]
            except InvalidInput:
                found = None
            assert found == self.destination[name]

    def teardown(self) -> None:
        """Close the database."""
        if hasattr(self, "store"):
            self.store.close()


TestMemberships = Memberships.TestCase
TestMemberships.settings = lives(15, steps=25)
