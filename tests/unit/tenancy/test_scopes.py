from __future__ import annotations

from collections.abc import Mapping

import pytest

from pearlstreet.base.errors import BugError, Forbidden, NotFound
from pearlstreet.base.text import text
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.scopes import EVERYONE, OPERATOR_ROLES, ORG_ROLES, SCOPES, OperatorRole, OrgRole

HOME, FOREIGN = "org_home", "org_foreign"

# Written out, so that a change of the table is a change somebody meant.
INSIDE: Mapping[str, set[OrgRole]] = {
    "jobs:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "jobs:write": {OrgRole.OWNER, OrgRole.MEMBER},
    "jobs:cancel": {OrgRole.OWNER, OrgRole.MEMBER},
    "jobs:exec": {OrgRole.OWNER, OrgRole.MEMBER},
    "hub:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "hub:write": {OrgRole.OWNER, OrgRole.MEMBER},
    "nodes:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "keys:own": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "keys:read": {OrgRole.OWNER},
    "keys:write": {OrgRole.OWNER},
    "users:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "users:write": {OrgRole.OWNER},
    "projects:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "projects:write": {OrgRole.OWNER},
    "orgs:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "orgs:write": {OrgRole.OWNER},
    "credit:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "prices:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "energy:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "quotas:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "scheduling:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "secrets:read": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "secrets:write": {OrgRole.OWNER, OrgRole.MEMBER},
    "notices:own": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "membership:own": {OrgRole.OWNER, OrgRole.MEMBER, OrgRole.VIEWER},
    "notices:write": {OrgRole.OWNER},
    "export:read": {OrgRole.OWNER},
    "retention:write": {OrgRole.OWNER},
    "audit:read": {OrgRole.OWNER},
}
CENTER: Mapping[str, set[OperatorRole]] = {
    "jobs:read": {OperatorRole.SYSTEM},
    "jobs:cancel": {OperatorRole.SYSTEM},
    "hub:read": set(OperatorRole),
    "nodes:read": set(OperatorRole),
    "nodes:write": {OperatorRole.SYSTEM},
    "keys:own": set(OperatorRole),
    "keys:read": {OperatorRole.SECURITY},
    "keys:write": {OperatorRole.SECURITY},
    "users:read": {OperatorRole.SYSTEM, OperatorRole.SECURITY},
    "users:write": {OperatorRole.SECURITY},
    "projects:read": {OperatorRole.SYSTEM, OperatorRole.SECURITY},
    "retention:write": {OperatorRole.SYSTEM},
    "orgs:read": set(OperatorRole),
    "orgs:write": {OperatorRole.SYSTEM},
    "credit:read": {OperatorRole.SYSTEM, OperatorRole.AUDIT},
    "credit:write": {OperatorRole.SYSTEM},
    "credit:approve": {OperatorRole.SYSTEM},
    "prices:read": set(OperatorRole),
    "prices:write": {OperatorRole.SYSTEM},
    "quotas:read": {OperatorRole.SYSTEM, OperatorRole.AUDIT},
    "quotas:write": {OperatorRole.SYSTEM},
    "scheduling:read": set(OperatorRole),
    "scheduling:write": {OperatorRole.SYSTEM},
    "energy:read": set(OperatorRole),
    "energy:write": {OperatorRole.SYSTEM},
    "decisions:read": {OperatorRole.SYSTEM, OperatorRole.AUDIT},
    "notices:own": set(OperatorRole),
    "membership:own": set(OperatorRole),
    "notices:write": {OperatorRole.SYSTEM},
    "audit:read": {OperatorRole.AUDIT},
    "audit:verify": {OperatorRole.AUDIT},
    "settings:read": {OperatorRole.SYSTEM, OperatorRole.SECURITY},
    "settings:write": {OperatorRole.SYSTEM},
    "backup:write": {OperatorRole.SYSTEM},
    "export:read": {OperatorRole.SYSTEM},
    "metrics:read": {OperatorRole.SYSTEM},
}


def member(role: OrgRole, **more: object) -> Actor:
    return Actor("alice", "usr_a", orgs={HOME: role}, **more)  # type: ignore[arg-type]


def operator(role: OperatorRole) -> Actor:
    return Actor("op", "usr_o", operator_roles=frozenset({role}))


@pytest.mark.parametrize("scope", sorted(SCOPES))
@pytest.mark.parametrize("role", list(OrgRole))
def test_a_member_has_exactly_the_scopes_of_the_role_at_home_and_none_abroad(
    role: OrgRole, scope: str
) -> None:
    assert member(role).may(scope, HOME) == (role in INSIDE.get(scope, set()))
    assert member(role).may(scope) == (scope in EVERYONE)
    with pytest.raises(NotFound):
        member(role).require(scope, FOREIGN)


@pytest.mark.parametrize("scope", sorted(SCOPES))
@pytest.mark.parametrize("role", list(OperatorRole))
def test_an_operator_has_exactly_the_scopes_of_the_duty_everywhere(role: OperatorRole, scope: str) -> None:
    allowed = role in CENTER.get(scope, set())
    assert operator(role).may(scope) == allowed and operator(role).may(scope, FOREIGN) == allowed
    if not allowed:
        with pytest.raises(Forbidden):
            operator(role).require(scope, FOREIGN)


def test_duties_that_change_things_do_not_overlap_and_audit_changes_nothing() -> None:
    changing = {
        role: {scope for scope in scopes - EVERYONE if not scope.endswith((":read", ":verify"))}
        for role, scopes in OPERATOR_ROLES.items()
    }
    assert changing[OperatorRole.AUDIT] == set()
    assert changing[OperatorRole.SYSTEM].isdisjoint(changing[OperatorRole.SECURITY])


def test_every_scope_is_somebodys() -> None:
    given = set().union(*ORG_ROLES.values(), *OPERATOR_ROLES.values())
    assert given == set(SCOPES)


def test_a_key_narrows_and_never_widens() -> None:
    narrow = member(OrgRole.VIEWER, scopes=frozenset({"jobs:read", "jobs:write"}))
    assert narrow.may("jobs:read", HOME)
    assert not narrow.may("jobs:write", HOME) and not narrow.may("credit:read", HOME)
    assert not narrow.may("nodes:read")
    assert narrow.all_scopes() == {"jobs:read"}


def test_what_is_foreign_reads_as_what_is_absent() -> None:
    absent = text("No job {job}", job="job_1")
    with pytest.raises(NotFound) as refused:
        member(OrgRole.OWNER).require("jobs:read", FOREIGN, missing=absent)
    assert refused.value.message == absent


def test_lists_are_limited_to_what_may_be_seen() -> None:
    assert member(OrgRole.VIEWER).orgs_with("jobs:read") == {HOME}
    assert member(OrgRole.VIEWER).orgs_with("jobs:write") == frozenset()
    assert operator(OperatorRole.SYSTEM).orgs_with("jobs:read") is None
    assert operator(OperatorRole.AUDIT).orgs_with("jobs:read") == frozenset()
    assert SYSTEM.orgs_with("jobs:read") is None


def test_a_suspended_organisation_can_only_be_read() -> None:
    owner = member(OrgRole.OWNER, suspended=frozenset({HOME}))
    held = {scope for scope in SCOPES if owner.may(scope, HOME)}
    assert held == {scope for scope in ORG_ROLES[OrgRole.OWNER] if scope.endswith(":read")} | {
        "keys:own",
        "membership:own",
        "notices:own",
    }
    with pytest.raises(Forbidden, match="suspended"):
        owner.require("jobs:write", HOME)


def test_a_misspelt_scope_is_our_mistake() -> None:
    with pytest.raises(BugError):
        SYSTEM.may("job:read")
