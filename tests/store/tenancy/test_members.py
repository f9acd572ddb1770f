"""Leaving, removing, and where requests go that name no organisation."""

from __future__ import annotations

import pytest
from tests.joining import join

from pearlstreet.api.request_inputs import org_of
from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from pearlstreet.tenancy import audit_log, invitations, keys, members, orgs, users
from pearlstreet.tenancy.audit_log import AuditFilter
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.scopes import OrgRole

from .conftest import Center


@pytest.fixture
def olga(center: Center) -> Actor:
    center.org("acme")
    center.org("beta")
    return center.person("olga", "acme", OrgRole.OWNER)


def destination(center: Center, actor: Actor) -> str | None:
    """Slug of the organisation that a request without one goes to; None: it is refused."""
    try:
        return orgs.get_org(center.store, actor, org_of(actor, None)).slug
    except InvalidInput:
        return None


def test_joining_another_organisation_moves_no_request(center: Center, olga: Actor) -> None:
    key = keys.create_key(center.store, olga, "cron")
    join(center.store, "olga", "beta", OrgRole.VIEWER)
    center.org("aaa")  # first by name, and last by age
    join(center.store, "olga", "aaa")
    for credential in (center.sign_in("olga"), authenticate(center.store, key.credential)):
        assert destination(center, credential) == "acme"


def test_without_a_default_the_answer_names_the_choices(center: Center, olga: Actor) -> None:
    bob = center.person("bob")
    assert destination(center, bob) is None
    join(center.store, "bob", "acme")
    join(center.store, "bob", "beta")
    with pytest.raises(InvalidInput, match="acme, beta") as refused:
        org_of(center.sign_in("bob"), None)
    assert "pearl orgs use" in str(refused.value.problems[0].hint)
    assert members.set_default_org(center.store, center.sign_in("bob"), "beta") == "beta"
    assert destination(center, center.sign_in("bob")) == "beta"
    assert org_of(center.sign_in("bob"), "acme") == "acme"
    with pytest.raises(NotFound):
        members.set_default_org(center.store, olga, "beta")


def test_a_default_that_was_left_does_not_come_back_by_joining_again(center: Center, olga: Actor) -> None:
    join(center.store, "olga", "beta")
    join(center.store, center.person("pia").login, "acme", OrgRole.OWNER)
    members.leave_org(center.store, center.sign_in("olga"), "acme")
    assert destination(center, center.sign_in("olga")) is None, "refused, not sent to beta"
    join(center.store, "olga", "acme")
    assert destination(center, center.sign_in("olga")) is None
    members.remove_member(center.store, center.security, "beta", "olga")
    members.set_default_org(center.store, center.sign_in("olga"), "acme")
    members.remove_member(center.store, center.sign_in("pia"), "acme", "olga")
    assert destination(center, center.sign_in("olga")) is None


def test_accepting_chooses_a_default_only_where_the_person_says_so(center: Center, olga: Actor) -> None:
    bob = center.person("bob")
    sent = invitations.invite(center.store, olga, "acme", "bob", has_mail=False)
    invitations.accept_invitation(center.store, bob, sent.id, as_default=True)
    assert destination(center, center.sign_in("bob")) == "acme"


def test_a_tied_key_goes_to_its_organisation_alone(center: Center, olga: Actor) -> None:
    join(center.store, "olga", "beta")
    key = keys.create_key(center.store, center.sign_in("olga"), org="beta")
    assert destination(center, authenticate(center.store, key.credential)) == "beta"
    assert destination(center, center.sign_in("olga")) == "acme"


@pytest.mark.parametrize("how", ["leave", "remove"])
def test_keys_tied_to_the_organisation_end_with_the_membership(center: Center, olga: Actor, how: str) -> None:
    bob = center.person("bob", "acme")
    join(center.store, "bob", "beta")
    bob = center.sign_in("bob")
    tied = keys.create_key(center.store, bob, org="acme")
    child = keys.create_key(center.store, authenticate(center.store, tied.credential), org="acme")
    free, other = keys.create_key(center.store, bob), keys.create_key(center.store, bob, org="beta")
    if how == "leave":
        members.leave_org(center.store, bob, "acme")
    else:
        members.remove_member(center.store, olga, "acme", "bob")
    join(center.store, "bob", "acme")
    for key in (tied, child):
        with pytest.raises(Unauthenticated, match="revoked"):
            authenticate(center.store, key.credential)
    for key in (free, other):
        assert authenticate(center.store, key.credential).login == "bob"


def test_the_last_owner_hands_over_first(center: Center, olga: Actor) -> None:
    with pytest.raises(Conflict, match="olga is the last owner of acme") as refused:
        members.leave_org(center.store, olga, "acme")
    assert "pearl orgs role USER owner" in str(refused.value.hint)
    join(center.store, center.person("pia").login, "acme", OrgRole.OWNER)
    users.close_user(center.store, center.security, "pia")
    with pytest.raises(Conflict, match="last owner"):  # an owner who cannot sign in is none
        members.leave_org(center.store, olga, "acme")
    center.person("quin", "acme")
    members.set_role(center.store, olga, "acme", "quin", OrgRole.OWNER)
    members.leave_org(center.store, olga, "acme")
    with pytest.raises(NotFound):
        members.leave_org(center.store, center.sign_in("olga"), "acme")


def test_a_role_is_for_members_and_the_answer_tells_nothing_of_others(center: Center, olga: Actor) -> None:
    center.person("bob")
    told = set()
    for name in ("bob", "nobody-at-all"):
        for act in (
            lambda name=name: members.set_role(center.store, olga, "acme", name, OrgRole.OWNER),
            lambda name=name: members.remove_member(center.store, olga, "acme", name),
        ):
            with pytest.raises(NotFound) as refused:
                act()
            told.add(str(refused.value).replace(name, "X"))
    assert len(told) == 1


def test_an_organisation_sees_little_of_its_members(center: Center, olga: Actor) -> None:
    users.create_user(center.store, center.security, "ada", display_name="Ada L.", email="ada@home.example")
    join(center.store, "ada", "beta", OrgRole.OWNER)
    join(center.store, "ada", "acme")
    ada = Actor(label="ada ses_private", user_id=users.get_user(center.store, center.security, "ada").id)
    members.set_default_org(
        center.store, Actor(label="ada ses_private", user_id=ada.user_id, orgs=_orgs(center)), "beta"
    )
    seen = users.get_user(center.store, olga, "ada")
    assert (seen.name, seen.display_name) == ("ada", "Ada L.")
    assert (seen.email, seen.state, seen.operator_role, seen.created_us) == (None, None, None, None)
    assert [one.org_slug for one in users.list_memberships_of(center.store, olga, "ada")] == ["acme"]
    everything = "".join(
        str(part)
        for part in (
            seen,
            users.list_users(center.store, olga),
            members.list_members(center.store, olga, "acme"),
            users.list_memberships_of(center.store, olga, "ada"),
            keys.list_keys(center.store, olga, everyone=True),
            audit_log.list_audit(center.store, olga, AuditFilter()),
        )
    )
    for private in ("home.example", "beta", "ses_private"):
        assert private not in everything.replace(olga.label, "")


def _orgs(center: Center) -> dict[str, OrgRole]:
    return {org.id: OrgRole.MEMBER for org in orgs.list_orgs(center.store, center.system)}


def test_owners_read_which_tied_key_acted_but_no_session_and_no_other_key(
    center: Center, olga: Actor
) -> None:
    tied = keys.create_key(center.store, olga, org="acme")
    free = keys.create_key(center.store, olga)
    for number, credential in enumerate((tied.credential, free.credential)):
        orgs.rename_org(center.store, authenticate(center.store, credential), "acme", f"name {number}")
    orgs.rename_org(center.store, olga, "acme", "name 2")
    shown = audit_log.list_audit(center.store, olga, AuditFilter(action="org.rename"))
    assert [row.actor for row in shown] == ["olga", "olga", f"olga {tied.key.id}"]
    whole = audit_log.list_audit(center.store, center.audit, AuditFilter(action="org.rename"))
    assert [row.actor for row in whole] == [olga.label, f"olga {free.key.id}", f"olga {tied.key.id}"]
