"""The list of builds: why each waits, where it runs, its log, and that a tenant sees its own only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.errors import NotFound
from pearlstreet.compute.jobs.build_views import get_build, list_builds
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.tenancy import keys
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.users import create_user


def _member(center: Center, org: str) -> Actor:
    user = create_user(center.store, SYSTEM, f"{org}-owner", org=org, role=OrgRole.OWNER).user
    made = keys.create_key(center.store, SYSTEM, "test", scopes=("jobs:read",), for_user=user.id)
    return authenticate(center.store, made.credential)


def test_a_build_is_shown_while_it_waits_and_after_it_ran(tmp_path: Path) -> None:
    settings = JobsSettings(builds_at_once=1)
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working, settings=settings)
    jobs = [
        center.submit(environment={"python": "3.11", "packages": [name]}, simulate="1s")
        for name in ("numpy", "rich")
    ]
    fresh = list_builds(center.store, SYSTEM)
    assert [one.state for one in fresh] == ["waiting", "waiting"]
    assert "The planner has not looked at it yet" in str(fresh[0].reason)
    center.run(2)
    (held,) = list_builds(center.store, SYSTEM, state="waiting")
    assert held.reason is not None and "build" in str(held.reason).lower(), (
        "the limit on builds is the reason"
    )
    assert held.name == "Python 3.11: rich" and held.kind == "environment"
    assert (held.jobs, held.engine, held.billed) == ([jobs[1]], None, False)
    assert held.asked_by == SYSTEM.label
    (runs,) = list_builds(center.store, SYSTEM, state="building")
    assert (runs.engine, runs.node) == ("simulated", "h100-0001")
    center.finish(*jobs)
    built = list_builds(center.store, SYSTEM)
    assert {one.state for one in built} == {"ready"}
    assert all(one.duration_s and one.reason is None and not one.jobs for one in built)
    assert [one.id for one in list_builds(center.store, SYSTEM, before=built[0].id)] == [built[1].id]
    shown = get_build(center.store, SYSTEM, center.runtime, built[0].id)
    assert replace(shown, log=None) == built[0]


def test_a_tenant_sees_its_own_builds_only(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", wrap=Working)
    create_org(center.store, SYSTEM, "rival")
    center.submit(environment={"packages": ["numpy"]})
    (build,) = list_builds(center.store, _member(center, ORG))
    rival = _member(center, "rival")
    assert list_builds(center.store, rival) == []
    with pytest.raises(NotFound):
        get_build(center.store, rival, center.runtime, build.id)
    with pytest.raises(NotFound):
        list_builds(center.store, rival, org=ORG)
