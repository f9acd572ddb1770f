"""Health of nodes on the API and the console: what operators see, change and request, and tenants do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pearlstreet.compute.engines.simulated.engine import SimulatedEngine
from tests.console.visitors import Console, a_console, words

NODE = "h100-0001"
FINDING = "Device 2: 3 memory errors that ECC could not correct, within 24 h"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A center one of whose nodes was drained by the health rules."""
    folder = tmp_path_factory.mktemp("center")
    with a_console(folder, health={"org": "acme"}) as made:
        for amount in (0, 3):
            cluster_of(made).add_errors(NODE, 2, "ecc_uncorrected", amount)
            check_health(made)
        yield made


def cluster_of(console: Console):  # type: ignore[no-untyped-def]
    (engine,) = console.world.runtime.engines.values()
    assert isinstance(engine, SimulatedEngine)
    return engine.cluster


def check_health(console: Console) -> None:
    """Run the health loop once on fresh reports, and the inventory whose readings people see."""
    for loop in console.world.loops:
        if loop.name in ("health", "inventory"):
            loop.step(console.world.center.store)


def test_a_drained_node_shows_finding_and_counters(console: Console) -> None:
    system = console.visitor("system")
    page = words(system.get(f"/nodes/{NODE}"))
    assert FINDING in page
    assert "Rules drained this node at" in page
    assert "ecc_uncorrected" in page
    assert FINDING in words(system.get("/nodes?state=drained"))
    chinese = words(console.visitor("system", language="zh-CN").get(f"/nodes/{NODE}"))
    assert "设备 2：24 小时内 3 个 ECC 无法纠正的显存错误" in chinese
    assert "ecc_uncorrected" not in words(system.get("/nodes/h100-0002")), "nothing was counted there"


def test_the_api_names_the_rule_the_device_and_the_count(console: Console) -> None:
    rows = {row["name"]: row for row in console.world.get("/nodes", "system").json()["items"]}
    health = rows[NODE]["health"]
    assert (rows[NODE]["drained"], rows[NODE]["drain_reason"]) == (True, FINDING)
    assert health["level"] == "drain" and health["automatic"] and health["drained_by_rules"]
    assert [(f["counter"], f["device"], f["amount"]) for f in health["findings"]] == [
        ("ecc_uncorrected", 2, 3.0)
    ]
    assert rows[NODE]["devices"][2]["counters"] == {"ecc_uncorrected": 3.0}
    assert rows["h100-0002"]["health"]["level"] == "ok"


def test_rules_of_a_node_are_switched_on_both_interfaces(console: Console) -> None:
    system = console.visitor("system")
    system.post(f"/nodes/{NODE}", "rules_off")
    assert "Health rules only warn of errors of this node" in words(system.get(f"/nodes/{NODE}"))
    answer = console.world.send("PUT", f"/nodes/{NODE}/health", "system", json={"automatic": True})
    assert answer.json() == {"name": NODE, "automatic": True}
    assert "Health rules may drain this node" in words(system.get(f"/nodes/{NODE}"))
    for body in ({}, {"automatic": "perhaps"}):
        answer = console.world.send("PUT", f"/nodes/{NODE}/health", "system", json=body)
        assert answer.status_code == 422, answer.text
    missing = console.world.send("PUT", "/nodes/gpu-99/health", "system", json={"automatic": True})
    assert missing.status_code == 404


def test_tenants_change_nothing_and_see_no_burn_ins(console: Console) -> None:
    owner, world = console.visitor("owner"), console.world
    assert 'value="rules_off"' not in owner.get(f"/nodes/{NODE}").text
    assert owner.post(f"/nodes/{NODE}", "rules_off").status_code == 403
    assert owner.post(f"/nodes/{NODE}", "burn_in").status_code == 403
    assert world.send("PUT", f"/nodes/{NODE}/health", "owner", json={"automatic": False}).status_code == 403
    assert world.post("/burn-ins", "owner", json={"all": True}).status_code == 403
    assert world.get("/burn-ins", "owner").status_code == 403


def test_a_burn_in_is_requested_and_shown(console: Console) -> None:
    system, world = console.visitor("system"), console.world
    answer = system.post("/nodes/h100-0002", "burn_in")
    assert answer.headers["location"] == "/nodes/h100-0002"
    again = world.post("/burn-ins", "system", json={"nodes": ["h100-0002"]}).json()["items"]
    (row,) = world.get("/burn-ins?node=h100-0002", "system").json()["items"]
    assert [one["id"] for one in again] == [row["id"]], "a node has one open burn-in"
    for loop in world.loops:
        if loop.name == "burn_in":
            loop.step(world.center.store)
    (row,) = world.get("/burn-ins?node=h100-0002", "system").json()["items"]
    assert (row["state"], row["message"]) == ("lost", "The engine simulated does not run code")
    assert "The engine simulated does not run code" in words(system.get("/nodes/h100-0002"))
    assert world.post("/burn-ins", "system", json={"nodes": ["gpu-99"]}).status_code == 404


def test_undrain_forgives_what_was_counted(console: Console) -> None:
    console.visitor("system").post(f"/nodes/{NODE}", "resume")
    check_health(console)
    rows = {row["name"]: row for row in console.world.get("/nodes", "system").json()["items"]}
    assert not rows[NODE]["drained"]
    assert rows[NODE]["health"]["findings"] == []
