"""The files of a planned cluster: every host in them once, secrets kept and hidden, warnings for what was never tried."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.clusters.keys import JWT_KEY, MUNGE_KEY, new_keys
from pearlstreet.compute.clusters.model import ClusterEntry, ClusterPlan, Devices, HostEntry, HostFacts
from pearlstreet.compute.clusters.plan import plan_cluster
from pearlstreet.compute.clusters.writing import changes, kept_keys, write

GPUS = Devices("h100-sxm-80g", tuple(f"/dev/nvidia{n}" for n in range(8)))
LARGE = HostFacts(2, 32, 2, 1 << 20, (GPUS,), system="debian 12")
SMALL = HostFacts(1, 8, 1, 32 << 10, system="debian 12")


def _cluster(**changes: object) -> tuple[ClusterEntry, dict[str, HostFacts]]:
    nodes = tuple(
        HostEntry(f"n{n:02d}", f"10.0.1.{n}", rack="r1" if n < 9 else "r2", sharing="shard")
        for n in range(1, 17)
    )
    head = HostEntry("head", "10.0.0.1", is_compute=False)
    entry = ClusterEntry("river", "head", shared_folder="/shared", hosts=(head, *nodes))
    return replace(entry, **changes), {"head": SMALL} | {node.name: LARGE for node in nodes}  # type: ignore[arg-type]


def _plan(entry: ClusterEntry, facts: dict[str, HostFacts]) -> ClusterPlan:
    return plan_cluster(entry, facts, new_keys(SeededRng(1), accounting=bool(entry.accounting)))


def _text(plan: ClusterPlan, name: str) -> str:
    return plan.files[name].content.decode()


def test_equal_nodes_are_one_line_with_their_devices_and_shards() -> None:
    plan = _plan(*_cluster())
    lines = [line for line in _text(plan, "slurm.conf").splitlines() if line.startswith("NodeName")]
    assert lines == [
        "NodeName=n[01-16] NodeAddr=10.0.1.[1-9],10.0.1.[10-16] CPUs=128 Sockets=2 CoresPerSocket=32 ThreadsPerCore=2 "
        "RealMemory=1038090 MemSpecLimit=2048 Gres=gpu:h100-sxm-80g:8,shard:80 State=UNKNOWN"
    ]
    assert "NodeName=n[01-16] Name=gpu Type=h100-sxm-80g File=/dev/nvidia[0-7]\n" in _text(plan, "gres.conf")
    assert "NodeName=n[01-16] Name=shard Count=80\n" in _text(plan, "gres.conf")
    assert "GresTypes=gpu,shard\n" in _text(plan, "slurm.conf")
    assert not plan.warnings


def test_racks_become_switches_and_pods_the_switches_above_them() -> None:
    entry, facts = _cluster()
    assert _text(_plan(entry, facts), "topology.conf").splitlines()[1:] == [
        "SwitchName=rack-r1 Nodes=n[01-08]", "SwitchName=rack-r2 Nodes=n[09-16]", "SwitchName=top Switches=rack-r1,rack-r2",
    ]  # fmt: skip
    pods = replace(entry, hosts=tuple(replace(h, pod="p1" if h.rack == "r1" else "p2") for h in entry.hosts))
    assert "SwitchName=top Switches=pod-p1,pod-p2" in _text(_plan(pods, facts), "topology.conf")


def test_accounting_counts_devices_by_model_and_its_password_is_in_no_readable_file() -> None:
    plan = _plan(*_cluster(accounting="head"))
    assert "AccountingStorageTRES=gres/gpu,gres/gpu:h100-sxm-80g\n" in _text(plan, "slurm.conf")
    password = _text(plan, "slurmdbd.password")
    holders = {name for name, file in plan.files.items() if password in file.content.decode("latin-1")}
    assert holders == {"slurmdbd.conf", "slurmdbd.password"}
    assert all(plan.files[name].mode == 0o600 and plan.files[name].is_secret for name in holders)


def test_what_was_never_tried_is_said() -> None:
    entry, facts = _cluster(shared_folder="")
    facts["n01"] = replace(LARGE, system="rocky 9", hostname="other")
    mps = replace(entry, hosts=tuple(replace(host, sharing="mps") for host in entry.hosts))
    said = " ".join(str(warning) for warning in _plan(mps, facts).warnings)
    for words in ("rocky 9", "calls itself other", "MPS", "share no folder"):
        assert words in said


def test_a_host_without_memory_is_refused_by_name() -> None:
    entry, facts = _cluster()
    facts["n03"] = replace(LARGE, memory_mib=0)
    with pytest.raises(InvalidInput) as caught:
        _plan(entry, facts)
    assert [problem.field for problem in caught.value.problems] == ["hosts.n03"]


def test_planning_again_keeps_the_keys_of_a_running_cluster_and_tells_what_changes(tmp_path: Path) -> None:
    entry, facts = _cluster()
    first = _plan(entry, facts)
    write(tmp_path / "out", first.files)
    assert (tmp_path / "out" / MUNGE_KEY).stat().st_mode & 0o777 == 0o600
    keys = new_keys(SeededRng(2), accounting=False)
    again = plan_cluster(entry, facts, {**keys, **kept_keys(tmp_path / "out")})
    assert again.files[JWT_KEY] == first.files[JWT_KEY]
    assert not changes(tmp_path / "out", again).changed
    facts["n16"] = replace(LARGE, memory_mib=512 << 10)
    assert list(changes(tmp_path / "out", _plan(entry, facts)).changed) == ["slurm.conf"]


def test_the_script_is_a_shell_script_and_names_each_host_once(tmp_path: Path) -> None:
    plan = _plan(*_cluster(accounting="head"))
    write(tmp_path, plan.files)
    assert subprocess.run(["sh", "-n", tmp_path / "install.sh"], check=False).returncode == 0
    shown = subprocess.run(
        ["sh", "-c", ". ./cluster.env; echo $CONTROLLER $ACCOUNTING $COMPUTE"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert shown.stdout.split() == ["head", "head", *(f"n{n:02d}" for n in range(1, 17))]
