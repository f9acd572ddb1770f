"""The pure parts: variables, devices, figures a job reports, places in the control groups."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.engines.local import devices, hostcgroups, reading
from pearlstreet.compute.engines.local.folders import seen_at
from pearlstreet.compute.engines.local.plan import tenant_user
from pearlstreet.compute.engines.local.policy import TENANT_UIDS, Walls
from pearlstreet.compute.engines.local.supervisor import disk, files, usage
from pearlstreet.compute.engines.local.supervisor.cgroup import Group, counters
from pearlstreet.compute.engines.local.supervisor.disk import DiskCount, DiskWalk, files_limit
from pearlstreet.compute.engines.local.supervisor.watch import Watch
from pearlstreet.compute.engines.local.variables import relocated, task_variables
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    DeviceGrant,
    DeviceReport,
    Mount,
    NodeReport,
    TaskOrder,
)

NVIDIA = tuple(DeviceReport(n, "NVIDIA", "h100-sxm-80g", 80, uuid=f"GPU-{n}") for n in range(4))
ASCEND = tuple(DeviceReport(100 + n, "Huawei", "ascend-910b", 64) for n in range(2))
NODE = NodeReport("n1", 64, 512, 1000, devices=NVIDIA + ASCEND)


def variables(*grants: int, inside: bool = True, **fields: object) -> dict[str, str]:
    task = TaskOrder(1, "n1", 3.5, 8, tuple(DeviceGrant(grant) for grant in grants))
    order = AttemptOrder("att_1", "job_1", "org_1", ("true",), (TaskOrder(0, "n1", 1, 1), task), **fields)  # type: ignore[arg-type]
    seen = seen_at(Path("/data/att_1"), 1, inside=inside)
    return task_variables(order, task, NODE, seen, port=29500, inside=inside)


def test_a_task_knows_its_place_in_the_gang() -> None:
    found = variables()
    wanted = {"PEARL_JOB_ID": "job_1", "PEARL_ATTEMPT_ID": "att_1", "PEARL_RANK": "1", "RANK": "1", "LOCAL_RANK": "1",
              "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "0",
              "OMP_NUM_THREADS": "3", "PEARL_OUTPUTS": "/pearl/outputs", "HOME": "/pearl/home"}  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


def test_the_orders_variables_win_over_defaults_and_not_over_facts() -> None:
    found = variables(
        variables={"OMP_NUM_THREADS": "9", "RANK": "0", "CUDA_VISIBLE_DEVICES": "0,1,2,3", "X": "y"}
    )
    assert (found["OMP_NUM_THREADS"], found["X"]) == ("9", "y")
    assert (found["RANK"], found["CUDA_VISIBLE_DEVICES"]) == ("1", "")


def test_only_granted_devices_are_shown() -> None:
    assert variables()["CUDA_VISIBLE_DEVICES"] == ""
    assert variables()["HIP_VISIBLE_DEVICES"] == "-1"
    assert variables(2, 3)["CUDA_VISIBLE_DEVICES"] == "GPU-2,GPU-3"
    found = variables(101)
    assert (found["ASCEND_RT_VISIBLE_DEVICES"], found["CUDA_VISIBLE_DEVICES"]) == ("1", "")
    assert found["PEARL_DEVICES"] == "101"


def test_only_nodes_of_granted_devices_may_be_opened() -> None:
    nodes = devices.nodes_of((DeviceGrant(2),), NODE.devices)
    assert "/dev/nvidia2" in nodes and "/dev/nvidiactl" in nodes
    assert "/dev/nvidia0" not in nodes and "/dev/davinci0" not in nodes
    assert devices.nodes_of((), NODE.devices) == []
    assert "/dev/davinci1" in devices.nodes_of((DeviceGrant(101),), NODE.devices)


def test_paths_of_inputs_are_absolute_where_the_task_sees_them() -> None:
    wanted = {"PEARL_INPUT_DATA": "inputs/data.csv"}
    assert variables(path_variables=wanted)["PEARL_INPUT_DATA"] == "/pearl/work/inputs/data.csv"
    outside = variables(path_variables=wanted, inside=False)
    assert outside["PEARL_INPUT_DATA"] == "/data/att_1/work/inputs/data.csv"


def test_without_a_sandbox_mounts_are_found_where_they_are() -> None:
    mounts = (Mount("/data/env", "/env"), Mount("/srv/in", "/in"))
    assert relocated("/env/bin:/usr/bin:/in", mounts) == "/data/env/bin:/usr/bin:/srv/in"
    assert relocated("/environment/bin", mounts) == "/environment/bin"
    found = variables(variables={"PATH": "/env/bin:/bin"}, mounts=mounts, inside=False)
    assert found["PATH"].startswith("/data/env/bin:/bin")


def test_tenants_get_users_of_their_own_and_keep_them() -> None:
    walls = Walls("bubblewrap", tenant_uids=TENANT_UIDS)
    users = [tenant_user(walls, f"org_{number}", ()) for number in range(200)]
    uids = {user["uid"] for user in users if user is not None}
    assert len(uids) == 200
    assert all(TENANT_UIDS[0] <= uid < sum(TENANT_UIDS) for uid in uids)
    assert tenant_user(walls, "org_7", ()) == users[7]
    assert tenant_user(Walls("bubblewrap"), "org_7", ()) is None


@given(st.binary(max_size=300))
def test_any_bytes_may_be_in_the_metrics_file(raw: bytes) -> None:
    for line in raw.split(b"\n"):
        found = usage.parse_user_line(line)
        assert all(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"loss": 0.5, "step": 3}', {"loss": 0.5, "step": 3.0}),
        (b'{"loss": NaN, "up": Infinity, "acc": 1}', {"acc": 1.0}),
        (b'{"ok": true, "name": "x", "list": [1], "n": 1}', {"n": 1.0}),
        (b'{"\\n": 1, "": 2}', {}),
        (b"[1]", {}),
        (b"[" * 10_000, {}),
        (b'{"n": ' + b"9" * 400 + b"}", {}),
        (
            json.dumps({str(number): 1 for number in range(500)}).encode(),
            {str(number): 1.0 for number in range(64)},
        ),
    ],
)
def test_only_plain_numbers_with_plain_names_count(line: bytes, found: dict[str, float]) -> None:
    assert usage.parse_user_line(line) == found


def process(pid: int, parent: int, comm: str) -> usage.Process:
    fields = ["S", str(parent), *["0"] * 17, str(pid), "0", "10"]
    return usage.Process(pid, comm, fields)


def test_the_tree_of_a_process_is_all_beneath_it() -> None:
    everything = [
        process(1, 0, "init"),
        process(2, 1, "a"),
        process(3, 2, "b"),
        process(4, 1, "c"),
        process(5, 3, "d"),
    ]
    assert sorted(item.pid for item in usage.tree(2, everything)) == [2, 3, 5]
    assert usage.descends(5, {5: 3, 3: 2, 2: 1}, {2})
    assert not usage.descends(4, {4: 1, 5: 3, 3: 2}, {2})
    assert not usage.descends(4, {4: 5, 5: 4}, {2})


def test_disk_use_counts_each_file_once_and_follows_nothing(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * (4 << 20))
    (inside / "sub" / "file").write_bytes(b"x" * (1 << 20))
    os.link(inside / "sub" / "file", inside / "again")
    (inside / "link").symlink_to(outside)
    assert 1 << 20 <= counted(inside).counted_bytes < 2 << 20
    os.chmod(inside / "sub", 0)
    assert counted(inside).counted_bytes >= 1 << 20


def counted(
    folder: Path, *, outputs: bool = False, bytes_max: int = 1 << 50, files_max: int = 1000
) -> DiskCount:
    walk = DiskWalk(bytes_max, files_max)
    walk.add([str(folder)], outputs=outputs)
    return walk.count


def test_outputs_count_as_large_as_they_appear_and_each_name_counts(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "full").write_bytes(b"x" * (1 << 20))
    os.link(tmp_path / "full", tmp_path / "again")
    assert counted(tmp_path).counted_bytes < 2 << 20
    outputs = counted(tmp_path, outputs=True)
    assert outputs.counted_bytes >= (1 << 40) + (2 << 20)
    assert (outputs.sparse_path, outputs.sparse_bytes) == ("sparse", 1 << 40)


def test_a_file_with_names_in_work_and_outputs_counts_once(tmp_path: Path) -> None:
    for name in ("work", "outputs"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "model").write_bytes(b"x" * (1 << 20))
    os.link(tmp_path / "work" / "model", tmp_path / "outputs" / "model")
    walk = DiskWalk(1 << 40, 1000)
    walk.add([str(tmp_path / "outputs")], outputs=True)
    walk.add([str(tmp_path / "work")])
    assert 1 << 20 <= walk.count.counted_bytes < 2 << 20


def test_counting_ends_soon_after_the_limit_on_files(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).touch()
    assert counted(tmp_path, files_max=50).files == 51
    assert files_limit(1 << 20) == 100_000
    assert files_limit(50 << 30) == (50 << 30) // 16_384


def test_more_files_than_the_limit_are_a_broken_disk_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "FILES_MIN", 10)
    (tmp_path / "tmp").mkdir()
    watch = Watch(str(tmp_path), {"owned": [], "cgroup": None, "disk_bytes": 1 << 16}, [], files.WallClock())
    for number in range(12):
        watch.check_disk()
        assert (watch.disk_over is None) == (number <= 10)
        (tmp_path / "tmp" / str(number)).touch()
    assert watch.disk_over is not None
    assert watch.disk_over["params"] == {"most": 10, "limit": "6.104e-05"}


def test_a_listing_of_outputs_ends_at_its_bound_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    for number in range(20):
        (outputs / f"{number:02}").touch()
    monkeypatch.setattr(reading, "MOST_OUTPUTS", 8)
    *files, last = reading.list_outputs(tmp_path)
    assert len(files) == 8
    assert last.stands_for_more
    assert "more than 8" in str(last.problem)


def test_outputs_that_cannot_be_named_or_are_too_deep_are_listed_with_their_problem(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    deep = outputs.joinpath(*["d"] * 66)
    deep.mkdir(parents=True)
    (outputs / "good").touch()
    Path(os.fsdecode(os.fsencode(outputs) + b"/bad\xff")).touch()
    found = {file.path: str(file.problem or "") for file in reading.list_outputs(tmp_path)}
    assert found.pop("good") == ""
    assert "not UTF-8" in found.pop("bad\\xff")
    assert "nested" in next(iter(found.values()))


MOUNTS_V1 = "".join(f"3{n} 1 0:2{n} / {{top}}/{name} rw - cgroup cgroup rw,{name}\n"
                    for n, name in enumerate(("memory", "cpu,cpuacct", "pids", "name=systemd")))  # fmt: skip


def test_groups_of_version_2_are_made_above_the_servers_own() -> None:
    """A group that holds processes, as the server's own does, cannot hand controllers down."""
    assert hostcgroups.bases_v2("/cg", "/user/app/pearl.service", root=False) == [
        "/cg/user/app",
        "/cg/user",
        "/cg",
    ]
    assert hostcgroups.bases_v2("/cg", "/system/pearl.service", root=True)[0] == "/cg"
    assert hostcgroups.bases_v2("/cg", "/", root=False) == ["/cg"]


def test_version_1_is_used_where_controllers_are_bound_to_it(tmp_path: Path) -> None:
    top = tmp_path / "cg"
    for name in ("memory", "cpu,cpuacct", "pids", "name=systemd"):
        (top / name).mkdir(parents=True)
    found = hostcgroups.find(
        MOUNTS_V1.format(top=top), "4:memory:/a\n3:cpu,cpuacct:/\n2:pids:/\n1:name=systemd:/\n"
    )
    assert found.version == 1
    assert found.parents == {
        "memory": f"{top}/memory/pearlstreet",
        "cpu": f"{top}/cpu,cpuacct/pearlstreet",
        "cpuacct": f"{top}/cpu,cpuacct/pearlstreet",
        "pids": f"{top}/pids/pearlstreet",
    }
    assert found.trackers == (f"{top}/name=systemd/pearlstreet",)


def test_without_control_groups_there_is_no_place() -> None:
    assert hostcgroups.find("", "").version == 0
    assert hostcgroups.find("garbage\n\n - \n", "x\n::\n").version == 0


def test_a_group_of_version_2_is_written_as_the_kernel_wants_it(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    folder.mkdir()
    for name in ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cgroup.procs"):
        (folder / name).write_text("")
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (folder / "memory.stat").write_text("anon 1000\nfile 5000\nshmem 10\nkernel 1\n")
    (folder / "cpu.stat").write_text("usage_usec 2500000\n")
    group = Group(2, dict.fromkeys(("memory", "cpu", "pids"), str(tmp_path)), "g")
    group.create(memory_bytes=1 << 30, cpus=2.5, pids=100)
    assert (folder / "memory.max").read_text() == str(1 << 30)
    assert (folder / "cpu.max").read_text() == "250000 100000"
    assert (folder / "pids.max").read_text() == "100"
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (group.oom_kills(), group.memory_bytes(), group.cpu_s()) == (2, 1011, 2.5)


@given(st.text())
def test_counters_of_any_text_are_read(raw: str) -> None:
    assert all(isinstance(value, int) for value in counters(raw).values())
