"""What a job may use, behind every wall: it is ended at its limit, with the reason, and the host is fine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import NODE, Bench, processes_with, until

from pearlstreet.compute.engines.protocol import EndReason, Limits, Mount, TaskOrder

HOG = "held = []\nwhile True: held.append(b'x' * (4 << 20))"
FORK_BOMB = """
import os, time
born = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        born += 1
except OSError as error:
    print("no more after", born, flush=True)
"""


def test_a_memory_hog_is_ended_with_its_reason(walled: Bench) -> None:
    report, _ = walled.python(HOG, memory_gib=0.125)
    assert report.end_reason is EndReason.MEMORY_LIMIT, report
    assert "0.125 GiB" in str(report.message)
    assert report.tasks[0].memory_peak_gib >= 0.12


def test_one_hog_of_a_gang_ends_the_gang(bench: Bench) -> None:
    program = f"import os\nif os.environ['RANK'] == '1':\n    {HOG.splitlines()[0]}\n    while True: held.append(b'x' * (4 << 20))\nimport time\ntime.sleep(60)"
    report, _ = bench.python(program, memory_gib=0.125, tasks=2)
    assert report.end_reason is EndReason.MEMORY_LIMIT
    assert "Task 1" in str(report.message)


def test_a_fork_bomb_stays_within_its_limit_and_is_swept_up(walled: Bench) -> None:
    limits = Limits(time_s=30, pids=40, grace_s=0.2)
    report, log = walled.python(FORK_BOMB, limits=limits)
    # the kernel counts all processes of a user: user 0 is not bound, and of others it leaves as much room as tests beside end
    unbound = walled.policy["sandbox"] != "bubblewrap" and "cgroup" not in report.wall
    assert report.end_reason is EndReason.EXITED or unbound, (report, log)
    if report.message is None:
        born = int(log.rsplit("after", 1)[1].split()[0])
        assert 10 < born <= 60
    else:  # it was seen and ended
        assert unbound
        assert "than its limit" in str(report.message)
    assert not processes_with(f"PEARL_ATTEMPT_ID={report.attempt_id}".encode())


def test_the_time_limit_asks_first_and_then_kills(walled: Bench) -> None:
    limits = Limits(time_s=0.5, grace_s=0.5)
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    before = time.monotonic()
    report, log = walled.run(script, limits=limits)
    assert report.end_reason is EndReason.TIME_LIMIT
    assert log.startswith("ready\n") and "asked\n" in log
    assert report.tasks[0].signal == 9
    assert time.monotonic() - before < 10


def test_the_disk_limit_counts_all_folders(walled: Bench) -> None:
    limits = Limits(time_s=60, disk_gib=0.03, grace_s=0.2)
    script = (
        "for place in $PEARL_WORK $PEARL_OUTPUTS $TMPDIR $HOME; do head -c 12000000 /dev/zero > $place/big; done; "
        "sleep 50"
    )
    report, log = walled.run(script, limits=limits)
    assert report.end_reason is EndReason.DISK_LIMIT, (report, log)
    assert "0.03 GiB" in str(report.message)


def test_a_file_beyond_the_disk_limit_is_named(walled: Bench) -> None:
    """One file that fills the limit, and a write far behind the end of one, which the kernel refuses at once."""
    limits = Limits(time_s=60, disk_gib=0.03, grace_s=0.2)
    report, log = walled.run('exec head -c 60000000 /dev/zero > "$PEARL_WORK/model.bin"', limits=limits)
    assert report.end_reason is EndReason.DISK_LIMIT, (report, log)
    assert "disk limit of 0.03 GiB, of which 0.03 GiB in 'work/model.bin'" in str(report.message)
    seek = (
        'echo note > "$PEARL_WORK/note"; exec dd if=/dev/zero of="$PEARL_WORK/sparse" bs=1M seek=100 count=1'
    )
    report, log = walled.run(seek, limits=limits)
    assert (report.end_reason, report.exit_code) == (EndReason.EXITED, 153), (report, log)
    assert "A file became larger than the disk limit of 0.03 GiB, and the write was refused" in str(
        report.message
    )
    report, log = walled.run("exit 3", limits=limits)
    assert (report.exit_code, report.message) == (3, None)


def test_a_sparse_output_ends_the_attempt_and_is_named(walled: Bench) -> None:
    limits = Limits(time_s=60, disk_gib=0.03, grace_s=0.2)
    script = 'for n in 1 2; do truncate -s 20M "$PEARL_OUTPUTS/model-$n"; done; sleep 50'
    report, log = walled.run(script, limits=limits)
    assert report.end_reason is EndReason.DISK_LIMIT, (report, log)
    assert "model-" in str(report.message)
    assert "0.01953 GiB" in str(report.message)
    assert "0.03 GiB" in str(report.message)


def test_what_an_ended_attempt_wrote_can_go_while_its_log_stays(bench: Bench) -> None:
    report, _ = bench.run('echo said; echo kept > "$PEARL_OUTPUTS/a"; echo x > "$PEARL_WORK/b"')
    folder = bench.attempt_folder(report.attempt_id)
    assert value_of(bench.engine.list_outputs(report.attempt_id))
    for _ in range(2):
        value_of(bench.engine.delete_work(report.attempt_id))
    assert not (folder / "work").exists()
    assert value_of(bench.engine.list_outputs(report.attempt_id)) == []
    assert b"said" in value_of(bench.engine.read_log(report.attempt_id, 0, offset=0, limit=100)).data
    value_of(bench.engine.forget(report.attempt_id))
    assert not folder.exists()


def test_what_is_written_into_a_mount_counts_and_what_was_there_does_not(
    bench: Bench, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "before").write_bytes(b"x" * (40 << 20))
    limits = Limits(time_s=60, disk_gib=0.03, grace_s=0.2)
    mounts = (Mount(str(shared), str(shared), writable=True),)
    report, log = bench.run(f"echo little > {shared}/new", limits=limits, mounts=mounts)
    assert (report.exit_code, report.end_reason) == (0, EndReason.EXITED), log
    script = f"for n in 1 2 3 4; do head -c 12000000 /dev/zero > {shared}/$n; done; sleep 50"
    report, _ = bench.run(script, limits=limits, mounts=mounts)
    assert report.end_reason is EndReason.DISK_LIMIT


def test_files_without_a_name_count_too(bench: Bench) -> None:
    limits = Limits(time_s=60, disk_gib=0.03, grace_s=0.2)
    program = (
        "import os, time\nheld = []\n"
        "for number in range(4):\n"
        "    held.append(open(str(number), 'wb')); os.unlink(str(number))\n"
        "    held[-1].write(b'x' * (12 << 20)); held[-1].flush()\n"
        "time.sleep(50)"
    )
    report, _ = bench.python(program, limits=limits)
    assert report.end_reason is EndReason.DISK_LIMIT


def test_no_file_grows_beyond_the_disk_limit(walled: Bench) -> None:
    limits = Limits(time_s=60, disk_gib=0.01, grace_s=0.2)
    report, _ = walled.run("head -c 100000000 /dev/zero > big; ls -l big", limits=limits)
    size = (walled.attempt_folder(report.attempt_id) / "work" / "big").stat().st_size
    assert size <= 0.01 * 2**30


def test_a_flood_of_log_costs_no_more_than_its_limit(bench: Bench) -> None:
    limits = Limits(time_s=2.0, log_bytes=1 << 20, grace_s=0.2)
    report, _ = bench.run("echo first; exec yes 0123456789abcdef", limits=limits)
    folder = bench.attempt_folder(report.attempt_id) / "logs"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1.2 * (1 << 20)
    chunk = value_of(bench.engine.read_log(report.attempt_id, 0, offset=600_000, limit=100))
    assert chunk.dropped_bytes > 10_000_000
    assert chunk.data


def test_a_cpu_share_is_all_a_job_gets(bench: Bench) -> None:
    if "cgroup" not in bench.engine.capabilities().wall:
        pytest.skip("control groups are absent: run as root, or in a delegated group")
    script = "for i in 1 2 3 4; do while :; do :; done & done; wait"
    task = TaskOrder(0, NODE.name, cpus=0.25, memory_gib=0.25)
    report, _ = bench.run(script, limits=Limits(time_s=2.0, grace_s=0), tasks=(task,))
    assert 0.2 < report.tasks[0].cpu_s < 0.8


def test_limits_are_kept_while_no_server_is_there(bench: Bench) -> None:
    attempt_id = bench.start("while :; do sleep 0.05; done", limits=Limits(time_s=1.0, grace_s=0.2))
    bench.engine.close()
    state = bench.attempt_folder(attempt_id) / "state.json"
    until(lambda: '"time_limit"' in state.read_text())
    assert bench.restart() and bench.ended(attempt_id).end_reason is EndReason.TIME_LIMIT


def test_the_log_of_a_running_attempt_gives_space_and_goes_on(bench: Bench) -> None:
    """The oldest parts go while the task writes; what it writes afterwards is read behind a counted gap."""
    line = "x" * 200
    script = f'i=0; while [ $i -lt 6000 ]; do echo "{line}"; i=$((i+1)); done; sleep 1; echo last'
    attempt_id = bench.start(script, limits=Limits(time_s=60, log_bytes=1 << 20))
    until(lambda: value_of(bench.engine.log_sizes()).get(attempt_id, 0) > 900 << 10)
    assert value_of(bench.engine.trim_log(attempt_id, size_bytes=700 << 10)) >= 700 << 10
    assert bench.ended(attempt_id).exit_code == 0
    chunk = value_of(bench.engine.read_log(attempt_id, 0, offset=0, limit=1 << 20))
    assert chunk.dropped_bytes >= 700 << 10
    data, written = chunk.data, 6000 * 201 + len("last\n")
    while not chunk.ended:
        chunk = value_of(bench.engine.read_log(attempt_id, 0, offset=chunk.next_offset, limit=1 << 20))
        data += chunk.data
    assert data.endswith(b"last\n") and chunk.next_offset == written
    value_of(bench.engine.trim_log(attempt_id, size_bytes=1 << 30))
    assert value_of(bench.engine.log_sizes())[attempt_id] == 0
