"""Simulated machines: from one line to nodes with devices, racks and pods; and orders that do not fit them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engines_simulated.making import make_order

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.engines.orders import device_share, refusal, stays_inside
from pearlstreet.compute.engines.protocol import DeviceGrant, TaskOrder
from pearlstreet.compute.engines.simulated import nodes_from

NODES = {node.name: node for node in nodes_from("2x8xH100-80G")}


def test_a_node_of_eight_has_what_one_usually_has() -> None:
    node = nodes_from("1x8xH100-80G")[0]
    assert (node.cpus, node.memory_gib, len(node.devices)) == (128, 1024, 8)
    assert {device.memory_gib for device in node.devices} == {80}
    assert {device.link_group for device in node.devices} == {0}


def test_more_than_eight_devices_are_in_several_link_groups() -> None:
    node = nodes_from("1x16xH100-80G")[0]
    assert [device.link_group for device in node.devices] == [0] * 8 + [1] * 8


def test_nodes_are_spread_over_racks_and_pods() -> None:
    nodes = nodes_from("70x8xH100-80G")
    assert len({node.name for node in nodes}) == 70
    assert len({node.rack for node in nodes}) == 18
    assert len({node.pod for node in nodes}) == 3
    assert len({device.uuid for node in nodes for device in node.devices}) == 560


def test_different_machines_live_in_one_cluster() -> None:
    nodes = nodes_from("2x8xH100-80G,3x8xAscend910B,1xcpu,1x8xH100-80G")
    assert len({node.name for node in nodes}) == 7
    assert [len(node.devices) for node in nodes] == [8, 8, 8, 8, 8, 0, 8]


def test_a_line_that_describes_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput):
        nodes_from("lots of machines")


@pytest.mark.parametrize(
    ("grant", "share"),
    [
        (DeviceGrant(0), 1.0),
        (DeviceGrant(0, memory_gib=20), 0.25),
        (DeviceGrant(0, compute_percent=50), 0.5),
        (DeviceGrant(0, memory_gib=20, compute_percent=50), 0.5),
    ],
)
def test_a_share_is_the_larger_of_memory_and_compute(grant: DeviceGrant, share: float) -> None:
    assert device_share(grant, 80) == share


@pytest.mark.parametrize(
    "grant",
    [
        DeviceGrant(0, memory_gib=81),
        DeviceGrant(0, compute_percent=101),
        DeviceGrant(0, memory_gib=0),
        DeviceGrant(0, compute_percent=-5),
    ],
)
def test_an_impossible_share_is_refused(grant: DeviceGrant) -> None:
    order = make_order("att_1")
    task = TaskOrder(0, "h100-0001", 1, 1, (grant,))
    refused = refusal(type(order)("att_1", "job_1", "org_1", ("train",), (task,)), NODES)
    assert refused is not None and refused.code == "over_capacity"


def test_tasks_that_fit_only_one_by_one_are_refused_together() -> None:
    assert refusal(make_order("att_1", tasks=2, cpus=60), NODES) is None
    refused = refusal(make_order("att_1", tasks=3, cpus=60), NODES)
    assert refused is not None and refused.code == "over_capacity"
    assert "128" in refused.reason.render("zh-CN")


def test_tenths_of_a_device_add_up_to_a_whole() -> None:
    tasks = tuple(TaskOrder(rank, "h100-0001", 1, 1, (DeviceGrant(0, 8.0),)) for rank in range(11))
    base = make_order("att_1")

    def of(count: int) -> object:
        return refusal(type(base)("att_1", "job_1", "org_1", ("train",), tasks[:count]), NODES)

    assert of(10) is None
    assert of(11) is not None


@given(st.text(max_size=30))
def test_a_path_that_stays_inside_never_climbs_or_begins_at_the_root(path: str) -> None:
    if stays_inside(path):
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert path
