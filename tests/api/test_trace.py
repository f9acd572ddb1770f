"""The exported history: what ran and ended, of whom, under which names; and that it can be replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pearlstreet.compute.replay.reading.registry import read_trace
from pearlstreet.compute.replay.reading.rows import Findings
from tests.api.world import World, a_world

GPU = {"accelerator": "H100", "count": 2, "cpus": 4, "memory_gib": 8}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        ours = made.submit(simulate="5s", name="secret-plan", per_task=GPU)
        theirs = made.submit("stranger", simulate="5s")
        array = made.submit(simulate="5s", array={"size": 2}, priority=3)
        made.submit(
            per_task={"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}, tasks=2, simulate="10h"
        )
        for job, role in ((ours, "owner"), (theirs, "stranger"), (array, "owner")):
            made.until(job, "succeeded", role=role, within_s=60)
        yield made


def history(world: World, role: str, **params: Any) -> list[dict[str, Any]]:
    answer = world.get("/trace", role, params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def test_a_tenant_sees_its_own_jobs_that_ran_and_ended(world: World) -> None:
    found = history(world, "owner")
    assert [(row["org"], row["state"]) for row in found] == [("acme", "succeeded")] * 3
    assert {row["user"] for row in found} == {"owner"}
    first = found[0]
    assert (first["accelerators"], first["count"], first["cpus"], first["memory_gib"]) == (["H100"], 2, 4, 8)
    assert first["ran_on"] == "h100-sxm-80g"
    assert first["duration_s"] > 0
    assert [row["priority"] for row in found] == [0, 3, 3], "elements of arrays, and never the array"
    assert "secret-plan" not in json.dumps(found)


def test_nobody_sees_another_tenants_history(world: World) -> None:
    mine = {row["job"] for row in history(world, "owner")}
    theirs = {row["job"] for row in history(world, "stranger")}
    assert len(theirs) == 1
    assert not mine & theirs
    assert world.get("/trace", "stranger", params={"org": "acme"}).status_code == 404
    assert world.get("/trace", None).status_code == 401


def test_operators_see_all_under_pseudonyms_that_stay_the_same(world: World) -> None:
    found = history(world, "system")
    assert len(found) == 4
    assert {len({row["org"] for row in found}), len({row["user"] for row in found})} == {2}
    assert not {"acme", "beta", "owner", "stranger", "default"} & {
        row[name] for row in found for name in ("org", "project", "user")
    }
    assert found == history(world, "system")
    named = history(world, "system", names="true")
    assert {row["org"] for row in named} == {"acme", "beta"}
    assert history(world, "owner", names="false")[0]["org"] == "acme", "one's own names are no secret"


def test_pages_and_spans_of_time(world: World) -> None:
    whole = history(world, "system")
    first = world.get("/trace", "system", params={"limit": 3}).json()
    rest = world.get("/trace", "system", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [*first["items"], *rest["items"]] == whole
    assert rest["next_cursor"] is None
    moment = whole[2]["submitted"]
    assert history(world, "system", to=moment) == whole[:2]
    assert history(world, "system", **{"from": moment}) == whole[2:]


def test_what_is_exported_can_be_replayed(world: World) -> None:
    rows = history(world, "owner")
    trace = read_trace((json.dumps(row) + "\n" for row in rows), Findings("export"), per_node=8)
    assert set(trace.ids) == {row["job"] for row in rows}
    one = trace.requests[int(trace.request[trace.ids.index(rows[0]["job"])])]
    assert (one.accelerators, one.count, one.cpu_milli, one.memory_mib) == (("H100",), 2, 4000, 8192)
