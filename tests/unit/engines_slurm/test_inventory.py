"""What a center learns of a cluster's nodes: topology, typed and divided GPUs, sockets, and refused generic resources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.engines_slurm.test_parsing import VERSIONS, recorded

from pearlstreet.compute.engines.slurm.gres import Gres, format_gres, parse_gres
from pearlstreet.compute.engines.slurm.inventory import NodeSettings, kinds_by_model, report_node
from pearlstreet.compute.engines.slurm.model import SlurmNode, Submission
from pearlstreet.compute.engines.slurm.parsing import parse_nodes
from pearlstreet.compute.engines.slurm.topology import NodePlace, parse_topology
from pearlstreet.compute.engines.slurm.topology_reader import READ_AGAIN_S, TopologyReader
from pearlstreet.compute.engines.slurm.transport import BadGresError, NotReachedError, RejectedError, rejected
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.catalogue.mig import MigProfile, find_profile, is_mig
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.hardware.normalise import Basis, normalised_rate
from pearlstreet.compute.scheduling.rows import match_models

CONF = """
# two racks below one core switch
SwitchName=leaf1 Nodes=n[1-4]
SwitchName=leaf2 Nodes=n[5-8]   # the new ones
SwitchName=core Switches=leaf[1-2]
"""
SHOWN = """\
SwitchName=leaf1 Level=0 LinkSpeed=1 Nodes=n[1-4]
SwitchName=leaf2 Level=0 LinkSpeed=1 Nodes=n[5-8]
SwitchName=core Level=1 LinkSpeed=1 Nodes=n[1-8] Switches=leaf[1-2]
"""
BLOCKS = (
    "BlockName=b1 BlockIndex=0 Nodes=n[1-4] BlockSize=4\nBlockName=b2 BlockIndex=1 Nodes=n[5-8] BlockSize=4\n"
)


def node(gres: str) -> SlurmNode:
    return SlurmNode("n1", ("IDLE",), 32, 64_000, gres=parse_gres(gres), partitions=("batch",))


def report(gres: str, **settings: object) -> NodeReport:
    return report_node(node(gres), "n1", (), NodeSettings("batch", "none", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [CONF, SHOWN])
def test_leaf_switches_are_racks_and_the_switch_above_a_pod(words: str) -> None:
    places = parse_topology(words)
    assert places["n4"] == NodePlace("leaf1", "core")
    assert places["n5"] == NodePlace("leaf2", "core")
    assert len(places) == 8


def test_blocks_are_racks() -> None:
    assert parse_topology(BLOCKS)["n5"] == NodePlace("b2", "")


@pytest.mark.parametrize(
    "words", ["", "No topology information available", "SwitchName=s Nodes=n[1-", "Nodes=n1"]
)
def test_a_topology_that_cannot_be_read_places_nothing(words: str) -> None:
    assert parse_topology(words) == {}


def test_a_node_is_reported_where_it_stands() -> None:
    found = report("gpu:h100:8", places=parse_topology(CONF))
    assert (found.rack, found.pod) == ("leaf1", "core")


class _Slurm:
    def __init__(self) -> None:
        self.words, self.fails, self.asked = SHOWN, False, 0

    def topology(self) -> str:
        self.asked += 1
        if self.fails:
            raise NotReachedError("down")
        return self.words


def test_the_topology_is_read_seldom_and_kept_while_slurm_is_silent(tmp_path: Path) -> None:
    slurm = _Slurm()
    reader = TopologyReader(slurm, "")
    assert reader.places(0.0)["n1"].rack == "leaf1"
    slurm.fails = True
    assert reader.places(READ_AGAIN_S / 2)["n1"].rack == "leaf1" and slurm.asked == 1
    assert reader.places(READ_AGAIN_S)["n1"].rack == "leaf1" and slurm.asked == 2
    file = tmp_path / "topology.conf"
    file.write_text(BLOCKS)
    assert TopologyReader(slurm, str(file)).places(0.0)["n1"].rack == "b1"
    assert slurm.asked == 2, "slurmrestd tells no topology, so the file is read instead"


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_nodes_of_both_versions_have_typed_devices(version: str) -> None:
    found = parse_nodes(recorded(version, "nodes")["nodes"])[0]
    made = report_node(
        found, found.name, (), NodeSettings("batch", "none", places={found.name: NodePlace("r", "p")})
    )
    assert [device.model for device in made.devices] == ["h100-sxm-80g"] * 8
    assert (made.rack, made.pod) == ("r", "p")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "gres",
    ["gpu:a100:1(S:0),gpu:a100_3g.20gb:2(S:1),shard:80", "gpu:a100:1(S:0),gpu:nvidia_a100_3g.20gb:2(S:1)"],
)
def test_mig_instances_are_devices_of_a_model_of_their_own(version: str, gres: str) -> None:
    raw = {**recorded(version, "nodes")["nodes"][0], "gres": gres}
    found = parse_nodes([raw])[0]
    made = report_node(found, "n1", (), NodeSettings(found.partitions[0], "none"))
    whole, part, _ = made.devices
    assert part.model == f"{whole.model}-mig-3g.20gb"
    assert part.memory_gib == 20 and part.vendor == "nvidia"
    assert [device.link_group for device in made.devices] == [0, 1, 1], "sockets are told apart"
    kinds = kinds_by_model([found], {})
    assert kinds[part.model].endswith("a100_3g.20gb") and kinds[whole.model] == "a100"
    assert format_gres([Gres("gpu", kinds[part.model], 1)]).startswith("gpu:")


def test_a_type_that_begins_with_a_digit_is_a_type_and_a_number_alone_is_a_count() -> None:
    assert parse_gres("gpu:1g.5gb:4,gpu:2(IDX:0-1),shard:1K") == (
        Gres("gpu", "1g.5gb", 4),
        Gres("gpu", "", 2, (0, 1)),
        Gres("shard", "", 1024),
    )
    assert report("gpu:1g.10gb:7", models={"1g.10gb": "h100-sxm-80g-mig-1g.10gb"}).devices[0].memory_gib == 10


def test_an_instance_counts_as_its_part_of_the_device_and_only_who_names_it_gets_it() -> None:
    whole, part = catalogue().get("a100-sxm-40g"), catalogue().get("a100-sxm-40g-mig-3g.20gb")
    assert whole is not None and part is not None
    rate = normalised_rate(part)
    assert rate.basis is Basis.ASSUMED
    assert float(rate.pflops) == pytest.approx(3 / 7 * float(normalised_rate(whole).pflops))
    models = (whole.id, part.id)
    assert match_models(("A100",), models) == match_models(("any",), models) == (whole.id,)
    assert match_models(("MIG 3g.20gb",), models) == match_models(("a100-mig",), models) == (part.id,)
    assert not catalogue().matches("any", part.id) and catalogue().matches("mig-3g.20gb", part.id)
    assert is_mig(part.id) and not is_mig(whole.id)
    assert find_profile("NVIDIA A100-SXM4-40GB MIG 3g.20gb") == ("NVIDIA A100-SXM4-40GB", MigProfile(3, 20))


def test_a_generic_resource_that_slurm_does_not_have_is_an_error_of_its_own() -> None:
    said = "Batch job submission failed: Invalid generic resource (gres) specification"
    job = Submission("att_1", "", "u", "batch", 1, 1, 1, 100, gres_per_node=(Gres("gpu", "b300", 1),))
    assert isinstance(rejected(said, job), BadGresError)
    assert isinstance(rejected("Requested node configuration is not available", job), BadGresError)
    assert type(rejected("Invalid partition name specified", job)) is RejectedError
    without = replace(job, gres_per_node=())
    assert type(rejected("Requested node configuration is not available", without)) is RejectedError


def test_nodes_of_several_types_are_counted_together() -> None:
    found = report("gpu:h100:2,gpu:a100:2")
    assert [device.index for device in found.devices] == [0, 1, 2, 3]
    assert replace(found.devices[0], index=0).link_group == 0
