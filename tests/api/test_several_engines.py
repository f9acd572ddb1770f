"""A center with three engines: two simulated clusters of the same machines, and this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from pearlstreet.app.engines import make_engines
from pearlstreet.app.settings import Settings, load_settings
from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.compute.engines.simulated.faults import parse_faults
from pearlstreet.compute.execution import engine_states
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.build_requests import BUILD
from pearlstreet.compute.queueing.tables import waiting
from tests.api.world import World, a_world

ENGINES = {
    "local": {"kind": "local"},
    "simulated": {"cluster": "2x8xH100-80G", "speed": 50},
    "lab": {"kind": "simulated", "cluster": "2x8xH100-80G", "speed": 50},
}
NODE = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The center."""
    with a_world(tmp_path_factory.mktemp("engines"), simulate="", engines=ENGINES) as made:
        yield made


def _nodes_of(world: World, job: str) -> set[str]:
    return {task["node"] for task in _attempt(world, job)["placement"]["tasks"]}


def _attempt(world: World, job: str) -> dict[str, Any]:
    found: dict[str, Any] = world.get(f"/jobs/{job}/attempts").json()["items"][-1]
    return found


def _engine_of(node: str) -> str:
    return "lab" if node.startswith("lab:") else "simulated"


def test_nodes_of_equal_names_are_told_apart(world: World) -> None:
    nodes = {node["name"]: node["engine"] for node in world.get("/nodes", "system").json()["items"]}
    of_lab = {name for name, engine in nodes.items() if engine == "lab"}
    of_simulated = {name for name, engine in nodes.items() if engine == "simulated"}
    assert of_lab == {f"lab:{name}" for name in of_simulated}
    assert "local" in nodes.values()


def test_single_jobs_use_every_engine_and_a_gang_only_one(world: World) -> None:
    blocker = world.submit(per_task=NODE, time_limit="2h", simulate="1h")
    world.until(blocker, "running")
    gang = world.submit(per_task=NODE, tasks=2, time_limit="2h", simulate="1h")
    world.until(gang, "running")
    free = _engine_of(next(iter(_nodes_of(world, blocker))))
    assert {_engine_of(node) for node in _nodes_of(world, gang)} == {"lab", "simulated"} - {free}
    second = world.submit(per_task=NODE, time_limit="2h", simulate="1h")
    world.until(second, "running")
    waiting = world.submit(per_task=NODE, tasks=2, time_limit="2h", simulate="1h")
    for _ in range(5):
        world.step()
    assert world.get(f"/jobs/{waiting}").json()["state"] == "queued"
    for job in (blocker, gang, second, waiting):
        assert world.post(f"/jobs/{job}/cancel").status_code < 300
    for job in (blocker, gang, second, waiting):
        world.until(job, "cancelled")


def test_a_gang_larger_than_every_engine_is_refused_with_the_reason(world: World) -> None:
    asked = {"command": ["true"], "tasks": 3, "per_task": NODE, "time_limit": "1h"}
    answer = world.post("/jobs", json=asked)
    assert answer.status_code == 422
    problems = {one["field"]: one["message"] for one in answer.json()["problems"]}
    assert problems["per_task.tasks"] == "3 tasks must start together, 2 of them fit"


def test_logs_and_results_come_from_the_engine_that_ran_the_job(world: World) -> None:
    job = world.submit(
        command=["sh", "-c", "echo from this machine"], per_task={"cpus": 1, "memory_gib": 0.1}
    )
    ended = world.until(job, "succeeded", "failed", within_s=60)
    assert ended["state"] == "succeeded"
    assert world.get(f"/jobs/{job}/logs").status_code == 200


def test_a_node_of_a_named_engine_is_drained_by_its_name(world: World) -> None:
    name = next(
        node["name"] for node in world.get("/nodes", "system").json()["items"] if node["engine"] == "lab"
    )
    path = f"/nodes/{quote(name, safe='')}"
    assert world.post(f"{path}/drain", "system", json={"reason": "fan"}).status_code < 300
    (node,) = [one for one in world.get("/nodes", "system").json()["items"] if one["name"] == name]
    assert node["drained"]
    assert world.post(f"{path}/undrain", "system").status_code < 300


def test_engines_are_listed_with_their_state_and_tenants_see_what_they_can_do(world: World) -> None:
    take_inventory(world.center.store, world.runtime.engines, states=world.runtime.engine_states)
    seen = {one["name"]: one for one in world.get("/engines", "system").json()["items"]}
    assert {name: one["kind"] for name, one in seen.items()} == {
        "lab": "simulated", "local": "local", "simulated": "simulated",
    }  # fmt: skip
    lab = seen["lab"]["details"]
    assert (lab["state"], lab["nodes"], lab["devices"], lab["drained"]) == ("answering", 2, 16, 0)
    assert lab["pflops"] > 0 and lab["inventory"] and lab["wall"] == "simulated" and lab["notices"]
    assert "runs_code" in seen["local"]["capabilities"] and "runs_code" not in seen["lab"]["capabilities"]
    for one in world.get("/engines", "member").json()["items"]:
        assert one["details"] is None and one["capabilities"]
    assert world.get("/engines/lab", "member").json()["details"] is None
    assert world.get("/engines/nowhere", "system").status_code == 404
    of_lab = world.get("/nodes?engine=lab", "system").json()["items"]
    assert {one["engine"] for one in of_lab} == {"lab"} and len(of_lab) == 2


def test_the_checks_of_every_engine_name_problem_and_fix(world: World) -> None:
    for name in ENGINES:
        answer = world.post(f"/engines/{name}/check", "system").json()
        assert answer["ok"], answer
        assert "nodes" in {one["name"] for one in answer["checks"]}
        for one in answer["checks"]:
            assert one["ok"] is (one["problem"] is None) is (one["fix"] is None), one
    local = {one["name"] for one in world.post("/engines/local/check", "system").json()["checks"]}
    assert local >= {"isolation", "bubblewrap", "user_namespaces", "cgroups", "seccomp", "disk", "images"}
    assert world.post("/engines/local/check").status_code == 403
    assert world.post("/engines/nowhere/check", "system").status_code == 404


def test_a_silent_engine_takes_no_work_and_loses_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, store = world.runtime, world.center.store
    jobs = [world.submit(per_task=NODE, tasks=2, time_limit="2h", simulate="1h") for _ in range(2)]
    for job in jobs:
        world.until(job, "running")
    (there,) = [job for job in jobs if next(iter(_nodes_of(world, job))).startswith("lab:")]
    lab = runtime.engines["lab"]
    assert isinstance(lab, SimulatedEngine)
    lab.set_faults(parse_faults("request_lost"))
    monkeypatch.setattr(engine_states, "SILENT_S", 0)
    try:
        take_inventory(store, runtime.engines, states=runtime.engine_states)
        nodes = world.get("/nodes", "system").json()["items"]
        assert {one["healthy"] for one in nodes if one["engine"] == "lab"} == {False}
        assert {one["healthy"] for one in nodes if one["engine"] == "simulated"} == {True}
        (reason,) = {one["health_reason"] for one in nodes if one["engine"] == "lab"}
        assert "lab does not answer" in reason
        shown = world.get("/engines/lab", "system").json()["details"]
        assert (shown["state"], shown["nodes_available"]) == ("silent", 0) and shown["error"]
        assert not world.post("/engines/lab/check", "system").json()["ok"]
        other = next(job for job in jobs if job != there)
        world.post(f"/jobs/{other}/cancel")
        world.until(other, "cancelled")
        after = world.submit(per_task=NODE, tasks=2, time_limit="2h", simulate="1h")
        world.until(after, "running")
        assert {_engine_of(node) for node in _nodes_of(world, after)} == {"simulated"}
        assert world.get(f"/jobs/{there}").json()["state"] == "running"
    finally:
        lab.set_faults(None)
    take_inventory(store, runtime.engines, states=runtime.engine_states)
    nodes = world.get("/nodes", "system").json()["items"]
    assert {one["healthy"] for one in nodes if one["engine"] == "lab"} == {True}
    assert world.get("/engines/lab", "system").json()["details"]["state"] == "answering"
    assert world.get(f"/jobs/{there}").json()["state"] == "running"
    for job in (there, after):
        world.post(f"/jobs/{job}/cancel")
        world.until(job, "cancelled")


def test_maintenance_of_one_engine_leaves_the_others_working(world: World) -> None:
    until = to_rfc3339(world.center.store.clock.now_us() + 30 * 86_400 * US_PER_S)
    body = {"kind": "maintenance", "until": until, "reason": "switches"}
    refused = world.post("/scheduling/windows", "system", json={**body, "engine": "absent"})
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["problems"]] == ["engine"]
    assert "lab" in refused.text
    made = world.post("/scheduling/windows", "system", json={**body, "engine": "lab"})
    assert made.status_code == 201, made.text
    assert {_engine_of(held["node"]) for held in made.json()["held"]} == {"lab"}
    assert len(made.json()["held"]) == 2
    jobs = [world.submit(per_task=NODE, time_limit="2h", simulate="1h") for _ in range(3)]
    for job in jobs[:2]:
        world.until(job, "running")
        assert {_engine_of(node) for node in _nodes_of(world, job)} == {"simulated"}
    assert world.get(f"/jobs/{jobs[2]}").json()["state"] == "queued"
    assert world.send("DELETE", f"/scheduling/windows/{made.json()['id']}", "system").status_code < 300
    world.until(jobs[2], "running")
    assert {_engine_of(node) for node in _nodes_of(world, jobs[2])} == {"lab"}
    for job in jobs:
        world.post(f"/jobs/{job}/cancel")
        world.until(job, "cancelled")


def test_after_a_restart_the_engines_find_what_they_ran(tmp_path: Path) -> None:
    with a_world(tmp_path, simulate="", engines=ENGINES) as first:
        job = first.submit(per_task=NODE, tasks=2, time_limit="2h", simulate="1h")
        first.until(job, "running")
        runtime, store = first.runtime, first.center.store
        engine = runtime.engines[_engine_of(next(iter(_nodes_of(first, job))))]
        engine.close()
        again = make_engines(
            Settings(data=tmp_path, engines={engine.name: {"kind": "simulated", "cluster": "2x8xH100-80G", "speed": 50}}),
            store,
        )[engine.name]  # fmt: skip
        try:
            found = again.probe(_attempt(first, job)["id"])
            assert getattr(found, "value", None) is not None
            take_inventory(store, {**runtime.engines, engine.name: again})
        finally:
            again.close()


def test_the_settings_choose_who_places_attempts(world: World, tmp_path: Path) -> None:
    tables = {
        "first": {"kind": "simulated", "cluster": "1xcpu", "placement": "engine", "submit_window": 3},
        "second": {"kind": "simulated", "cluster": "1xcpu", "placement": "node"},
        "third": {"kind": "simulated", "cluster": "1xcpu"},
    }
    made = make_engines(Settings(data=tmp_path, engines=tables), world.center.store)
    try:
        chosen = {name: engine.capabilities() for name, engine in made.items()}
        assert [chosen[name].placement for name in tables] == ["engine", "node", "device"]
        assert [chosen[name].submit_window for name in tables] == [3, None, None]
    finally:
        for engine in made.values():
            engine.close()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[engines.Lab]\nkind = "simulated"', "no name of an engine"),
        ('[engines.lab]\nkind = "quantum"', "no engine called 'quantum'"),
        ('[engines.lab]\nkind = "simulated"\nspeed = "fast"\ncluster = "1xcpu"', "speed in \\[engines.lab\\]"),
        ('[engines.lab]\nkind = "simulated"\ncluster = "4xBanana"', "engine lab cannot be used"),
        ('[engines.lab]\nkind = "simulated"\ncolour = "red"', "has no key colour"),
        ('[engines]\nlab = 3', "must be a table"),
        ('[engines.lab]\nkind = "simulated"\ncluster = "1xcpu"\nplacement = "rack"', "placement in \\[engines.lab\\] cannot be 'rack'"),
        ('[engines.lab]\nkind = "local"\nplacement = "engine"', "cannot be 'engine'"),
        ('[engines.lab]\nkind = "simulated"\ncluster = "1xcpu"\nplacement = "engine"\nsubmit_window = 0', "at least 1"),
        ('[engines.a]\nkind = "local"\n[engines.b]\nkind = "local"', "same machine twice"),
        ('simulate = "1xcpu"\n[engines.lab]\nkind = "simulated"\ncluster = "1xcpu"', "cannot be set beside"),
    ],
)  # fmt: skip
def test_wrong_tables_stop_the_start_with_the_place(
    world: World, tmp_path: Path, written: str, said: str
) -> None:
    (tmp_path / "pearl.toml").write_text(written + "\n")
    settings = load_settings(tmp_path, {}, {})
    with pytest.raises(ConfigurationError, match=said):
        make_engines(settings, world.center.store)


def test_an_environment_is_built_where_code_runs_and_the_build_waits_in_the_same_table(world: World) -> None:
    environment = {"packages": ["pearlstreet-has-no-such-package"]}
    job = world.submit(environment=environment, per_task={"cpus": 1, "memory_gib": 0.1})
    query = sa.select(attempts).where(attempts.c.owner_kind == BUILD)
    requests = sa.select(waiting.c.request).where(waiting.c.owner_kind == BUILD)
    store = world.center.store
    (request,) = store.read(lambda tx: tx.execute(requests).scalars().all())
    assert request["engines"] == ["local"]
    for _ in range(20):
        world.step()
        if store.read(lambda tx: tx.rows(query)):
            break
    (build,) = store.read(lambda tx: tx.rows(query))
    assert build["engine"] == "local" and build["hold_id"] is None
    assert not store.read(lambda tx: tx.execute(requests).scalars().all())
    assert world.post(f"/jobs/{job}/cancel").status_code < 300
