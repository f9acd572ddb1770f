"""What an actor may do and see, and which refusal a request gets: absent for what it must not know of, else forbidden."""

from __future__ import annotations

import pytest

from pearlstreet.base.errors import Forbidden, NotFound, PearlError
from pearlstreet.base.text import text
from pearlstreet.tenancy.model import SYSTEM, Actor, Tie
from pearlstreet.tenancy.scopes import EVERYONE, PROJECT_SCOPES, OperatorRole, OrgRole

OWNER = Actor(label="ada key_1", user_id="usr_1", orgs={"org_a": OrgRole.OWNER})
SUSPENDED = Actor(label="ada", user_id="usr_1", orgs={"org_a": OrgRole.OWNER}, suspended=frozenset({"org_a"}))
IN_PROJECT = Actor(
    label="ada",
    user_id="usr_1",
    key_id="key_1",
    orgs={"org_a": OrgRole.OWNER},
    tie=Tie("org_a", "prj_a", "acme/vision"),
)
IN_ORG = Actor(
    label="ada", user_id="usr_1", orgs={"org_a": OrgRole.OWNER, "org_b": OrgRole.OWNER}, tie=Tie("org_a")
)
OPERATOR_IN_ORG = Actor(
    label="root", user_id="usr_2", operator_roles=frozenset({OperatorRole.SYSTEM}), tie=Tie("org_a")
)
NARROW = Actor(label="ada", user_id="usr_1", orgs={"org_a": OrgRole.OWNER}, scopes=frozenset({"jobs:read"}))
OPERATOR = Actor(label="root", user_id="usr_2", operator_roles=frozenset({OperatorRole.SYSTEM}))
FOR_ALL = sorted(EVERYONE)[0]


@pytest.mark.parametrize(
    ("actor", "scope", "org", "project", "may"),
    [
        (SYSTEM, "jobs:write", "org_b", None, True),
        (OWNER, "jobs:write", "org_a", None, True),
        (OWNER, "jobs:write", "org_b", None, False),
        (OWNER, "jobs:write", None, None, False),
        (OWNER, FOR_ALL, None, None, True),
        (SUSPENDED, "jobs:write", "org_a", None, False),
        (SUSPENDED, "jobs:read", "org_a", None, True),
        (NARROW, "jobs:read", "org_a", None, True),
        (NARROW, "jobs:write", "org_a", None, False),
        (NARROW, FOR_ALL, None, None, False),
        (IN_ORG, "jobs:write", "org_a", None, True),
        (IN_ORG, "jobs:write", "org_b", None, False),
        (IN_ORG, FOR_ALL, None, None, True),
        (IN_PROJECT, "nodes:read", None, None, True),
        (IN_PROJECT, "membership:own", None, None, False),
        (IN_ORG, "jobs:write", None, None, False),
        (OPERATOR_IN_ORG, "nodes:write", "org_a", None, True),
        (OPERATOR_IN_ORG, "nodes:write", "org_b", None, False),
        (OPERATOR_IN_ORG, "nodes:write", None, None, False),
        (IN_PROJECT, "jobs:write", "org_a", "prj_a", True),
        (IN_PROJECT, "jobs:write", "org_a", "prj_b", False),
        (IN_PROJECT, "jobs:write", "org_a", None, False),
        (OPERATOR, "nodes:write", None, None, True),
        (OPERATOR, "nodes:write", "org_a", None, True),
    ],
)
def test_rights(actor: Actor, scope: str, org: str | None, project: str | None, may: bool) -> None:
    assert actor.may(scope, org, project) is may


@pytest.mark.parametrize(
    ("actor", "scope", "org", "project", "error", "told"),
    [
        (OWNER, "jobs:write", "org_b", None, NotFound, "No such organisation"),
        (IN_PROJECT, "jobs:write", "org_a", "prj_b", NotFound, "No such project"),
        (IN_PROJECT, "jobs:write", "org_a", None, Forbidden, "acme/vision"),
        (IN_PROJECT, "orgs:write", "org_a", "prj_a", Forbidden, "This key of ada lacks the scope orgs:write"),
        (SUSPENDED, "jobs:write", "org_a", None, Forbidden, "suspended: only reading"),
        (SUSPENDED, "audit:read", None, None, Forbidden, "ada lacks the scope audit:read"),
        (NARROW, "jobs:write", "org_a", None, Forbidden, "ada lacks the scope jobs:write"),
        (OWNER, "nodes:write", None, None, Forbidden, "ada lacks the scope nodes:write"),
    ],
)
def test_refusals_tell_nothing_of_what_the_actor_must_not_know(
    actor: Actor, scope: str, org: str | None, project: str | None, error: type[PearlError], told: str
) -> None:
    with pytest.raises(error, match=told):
        actor.require(scope, org, project)


def test_absent_things_get_the_message_of_the_caller() -> None:
    with pytest.raises(NotFound, match="No job of that id"):
        OWNER.require("jobs:read", "org_b", missing=text("No job of that id"))
    with pytest.raises(NotFound, match="No job of that id"):
        IN_PROJECT.require("jobs:read", "org_a", "prj_b", missing=text("No job of that id"))
    OWNER.require("jobs:read", "org_a")


def test_only_operators_and_members_know_of_an_organisation() -> None:
    assert [actor.sees("org_a") for actor in (OWNER, OPERATOR, SYSTEM)] == [True] * 3
    assert not OWNER.sees("org_b")
    stranger = Actor(label="eve", user_id="usr_3")
    assert not stranger.sees("org_a")


@pytest.mark.parametrize(("actor", "project"), [(OWNER, "prj_a"), (IN_PROJECT, None), (IN_PROJECT, "prj_a")])
def test_a_key_of_a_project_gets_scopes_of_projects_alone(actor: Actor, project: str | None) -> None:
    assert actor.all_scopes("org_a", project) <= PROJECT_SCOPES
    assert "membership:own" in OWNER.all_scopes("org_a")
