from __future__ import annotations

from functools import partial

import pytest

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, NotFound, TooMany
from pearlstreet.tenancy import invitations, members, orgs, users
from pearlstreet.tenancy.model import SYSTEM, Standing
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole

from .conftest import Center


def test_nobody_holds_two_operator_roles(center: Center) -> None:
    users.create_user(center.store, center.security, "sam", operator_role=OperatorRole.SYSTEM)
    for role in (OperatorRole.SECURITY, OperatorRole.AUDIT):
        with pytest.raises(Conflict, match="can have only one"):
            users.set_operator_role(center.store, center.security, "sam", role)
    users.set_operator_role(center.store, center.security, "sam", None)
    changed = users.set_operator_role(center.store, center.security, "sam", OperatorRole.AUDIT)
    assert changed.operator_role is OperatorRole.AUDIT


def test_an_operator_account_belongs_to_no_organisation(center: Center) -> None:
    center.org("acme")
    with pytest.raises(Conflict):
        users.create_user(center.store, center.security, "sam", org="acme", operator_role=OperatorRole.SYSTEM)
    with pytest.raises(Conflict, match="An operator account belongs to no organisation"):
        invitations.invite(center.store, center.security, "acme", "system", has_mail=False)
    users.create_user(center.store, center.security, "alice", org="acme")
    with pytest.raises(Conflict):
        users.set_operator_role(center.store, center.security, "alice", OperatorRole.AUDIT)


def test_nobody_changes_their_own_duty_or_standing(center: Center) -> None:
    for change in (
        lambda: users.set_operator_role(center.store, center.security, "security", None),
        lambda: users.suspend_user(center.store, center.security, "security"),
        lambda: users.close_user(center.store, center.security, "security"),
    ):
        with pytest.raises(Forbidden):
            change()


def test_an_owner_rules_their_own_organisation_only(center: Center) -> None:
    center.org("acme")
    center.org("other")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    stranger = center.person("bob", "other")
    users.create_user(center.store, owner, "alice", org="acme")
    members.set_role(center.store, owner, "acme", "alice", OrgRole.VIEWER)
    assert [m.user_name for m in members.list_members(center.store, owner, "acme")] == ["alice", "olga"]
    for refused in (
        lambda: users.create_user(center.store, owner, "eve", org="other"),
        lambda: invitations.invite(center.store, owner, "other", "alice", has_mail=False),
        lambda: members.set_role(center.store, owner, "acme", "bob", OrgRole.VIEWER),
        lambda: members.list_members(center.store, stranger, "acme"),
        lambda: orgs.get_org(center.store, stranger, "acme"),
        lambda: users.get_user(center.store, stranger, "olga"),
    ):
        with pytest.raises(NotFound):
            refused()
    for beyond in (
        lambda: users.create_user(center.store, owner, "eve"),
        lambda: users.create_user(
            center.store, owner, "eve", org="acme", operator_role=OperatorRole.SECURITY
        ),
        lambda: users.issue_password_link(center.store, owner, "alice"),
        lambda: users.suspend_user(center.store, owner, "alice"),
        lambda: orgs.suspend_org(center.store, owner, "acme"),
        lambda: orgs.create_org(center.store, owner, "mine"),
    ):
        with pytest.raises(Forbidden):
            beyond()


def test_an_organisation_keeps_an_owner(center: Center) -> None:
    center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    for act in (
        lambda: members.remove_member(center.store, owner, "acme", "olga"),
        lambda: members.set_role(center.store, owner, "acme", "olga", OrgRole.VIEWER),
    ):
        with pytest.raises(Conflict, match="last owner"):
            act()
    users.create_user(center.store, owner, "pia", org="acme", role=OrgRole.OWNER)
    members.remove_member(center.store, owner, "acme", "olga")


def test_a_closed_account_stays_closed_and_keeps_its_name(center: Center) -> None:
    center.org("acme")
    center.person("alice", "acme")
    assert users.close_user(center.store, center.security, "alice").state is Standing.CLOSED
    for act in (users.resume_user, users.suspend_user):
        with pytest.raises(Conflict):
            act(center.store, center.security, "alice")
    with pytest.raises(Conflict, match="taken"):
        users.create_user(center.store, center.security, "alice")


def test_foreign_and_absent_organisations_read_alike(center: Center) -> None:
    center.org("acme")
    stranger = center.person("bob")
    messages = set()
    for slug in ("acme", "nope"):
        with pytest.raises(NotFound) as refused:
            orgs.get_org(center.store, stranger, slug)
        messages.add(str(refused.value).replace(slug, "X"))
    assert len(messages) == 1
    assert orgs.list_orgs(center.store, stranger) == []


def test_projects_are_unique_in_their_organisation(center: Center) -> None:
    acme, other = center.org("acme"), center.org("other")
    vision = orgs.create_project(center.store, SYSTEM, "acme", "vision", "Vision")
    orgs.create_project(center.store, SYSTEM, "other", "vision")
    with pytest.raises(Conflict):
        orgs.create_project(center.store, SYSTEM, "acme", "vision")
    alice = center.person("alice", "acme")
    assert orgs.get_project(center.store, alice, "acme").slug == "default"
    assert orgs.get_project(center.store, alice, acme.id, vision.id) == vision
    with pytest.raises(NotFound):
        orgs.get_project(center.store, alice, "other", "vision")
    with pytest.raises(NotFound):
        orgs.get_project(center.store, alice, "acme", orgs.get_project(center.store, SYSTEM, other.id).id)
    with pytest.raises(Forbidden):
        orgs.create_project(center.store, alice, "acme", "more")
    assert {p.slug for p in orgs.list_projects(center.store, alice, "acme")} == {"default", "vision"}


def test_lists_page_by_id(center: Center) -> None:
    made = [center.org(slug).id for slug in ("aa", "bb", "cc")]
    first = orgs.list_orgs(center.store, center.system, limit=2)
    rest = orgs.list_orgs(center.store, center.system, after=first[-1].id, limit=2)
    assert [org.id for org in [*first, *rest]] == sorted(made)
    with pytest.raises(InvalidInput):
        orgs.list_orgs(center.store, center.system, after="\x00")


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a" * 41, "api", "acme\n", "a--b", "é", "\x00"])
def test_bad_slugs_are_refused(sqlite_center: Center, slug: str) -> None:
    with pytest.raises(InvalidInput):
        sqlite_center.org(slug)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "x\ny", "\u202egnp", "a" * 201])
def test_bad_names_are_refused_by_every_getter_and_setter(center: Center, text: str) -> None:
    center.org("acme")
    with pytest.raises(InvalidInput):
        orgs.rename_org(center.store, center.system, "acme", text)
    for ask in (orgs.get_org, users.get_user):
        with pytest.raises(NotFound):
            ask(center.store, center.security, text)
    with pytest.raises(NotFound):
        orgs.get_project(center.store, SYSTEM, "acme", text)
    with pytest.raises(InvalidInput):
        users.create_user(center.store, center.security, text)


def test_settings_merge_and_titles_change(center: Center) -> None:
    center.org("acme")
    orgs.change_settings(center.store, center.system, "acme", {"a": 1, "b": 2})
    changed = orgs.change_settings(center.store, center.system, "acme", {"a": None, "c": [3]})
    assert changed.settings == {"b": 2, "c": [3]}
    assert orgs.rename_org(center.store, center.system, "acme", " Acme 研究所 ").name == "Acme 研究所"


def test_owners_make_a_limited_number_of_accounts_a_day_and_operators_any_number(center: Center) -> None:
    for slug in ("acme", "beta"):
        center.org(slug)
    olga, ben = center.person("olga", "acme", OrgRole.OWNER), center.person("ben", "beta", OrgRole.OWNER)
    create = partial(users.create_user, center.store, per_day_max=3)
    for number in range(2):
        create(olga, f"a{number}", org="acme")
    with pytest.raises(TooMany, match="acme got 3 new accounts in 24 hours") as refused:
        create(olga, "one-more", org="acme")
    assert 0 < (refused.value.retry_after_s or 0) <= 86_401
    create(center.security, "by-an-operator", org="acme")
    create(ben, "of-another", org="beta")
    users.create_user(center.store, olga, "without-limit", org="acme", per_day_max=0)
    center.clock.advance((refused.value.retry_after_s or 0) + 1)
    create(center.sign_in("olga"), "next-day", org="acme")
