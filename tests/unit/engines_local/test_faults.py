"""Processes killed at the worst moment, ids used again, machines restarted, disks full: told truly, never run twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines_present import need
from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import Bench, processes_with, until

from pearlstreet.base.outcome import Done, Refused, Retry, Unknown
from pearlstreet.compute.engines.local import engine, launching
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.protocol import EndReason, Limits, Mount, Stage, TaskState


def edit(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def supervisor_of(bench: Bench, attempt_id: str) -> int:
    pid: int = json.loads((bench.attempt_folder(attempt_id) / "launched.json").read_text())["pid"]
    return pid


def plan_of(bench: Bench, attempt_id: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((bench.attempt_folder(attempt_id) / "order.json").read_text())
    return plan


def groups_named(name: str) -> list[Path]:
    """Control groups of that name, under whatever controller."""
    return list(Path("/sys/fs/cgroup").glob(f"**/pearlstreet/{name}"))


def nothing_left_of(attempt_id: str) -> None:
    mark = f"PEARL_ATTEMPT_ID={attempt_id}".encode()
    until(lambda: not processes_with(mark))


def test_what_was_saved_before_its_supervisor_was_killed_counts(bench: Bench) -> None:
    save = 'echo x > "$PEARL_CHECKPOINT/a.tmp" && mv "$PEARL_CHECKPOINT/a.tmp" "$PEARL_CHECKPOINT/a"'
    attempt_id = bench.start(f"{save}; touch $PEARL_OUTPUTS/saved; sleep 300", checkpoint="job_a")
    until(lambda: (bench.attempt_folder(attempt_id) / "outputs" / "saved").exists())
    os.kill(supervisor_of(bench, attempt_id), signal.SIGKILL)
    report = bench.ended(attempt_id)
    assert report.end_reason is EndReason.ENGINE_LOST
    assert report.saved_us is not None and report.started_us is not None
    assert report.started_us <= report.saved_us


def test_a_killed_supervisor_takes_its_tasks_with_it_and_is_told(walled: Bench) -> None:
    attempt_id = walled.start("echo run >> $PEARL_OUTPUTS/runs; sleep 300 & sleep 300")
    until(lambda: (walled.attempt_folder(attempt_id) / "outputs" / "runs").exists())
    os.kill(supervisor_of(walled, attempt_id), signal.SIGKILL)
    report = walled.ended(attempt_id)
    assert report.end_reason is EndReason.ENGINE_LOST
    assert "killed" in str(report.message)
    assert report.started_us is not None and report.ended_us is not None
    assert report.ended_us >= report.started_us
    nothing_left_of(attempt_id)
    walled.restart()
    order = walled.order("echo again >> $PEARL_OUTPUTS/runs", attempt_id=attempt_id)
    assert value_of(walled.engine.start(order)) == report
    assert (walled.attempt_folder(attempt_id) / "outputs" / "runs").read_text() == "run\n"


def test_a_process_id_used_again_is_not_mistaken_for_the_supervisor(bench: Bench) -> None:
    attempt_id = bench.start("sleep 300")
    os.kill(supervisor_of(bench, attempt_id), signal.SIGKILL)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        edit(bench.attempt_folder(attempt_id), "launched.json", pid=stranger.pid)
        bench.restart()
        assert bench.engine.stop(attempt_id, grace_s=0) == Done(None)
        assert bench.ended(attempt_id).end_reason is EndReason.ENGINE_LOST
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_restart_of_the_machine_ends_what_ran_and_what_was_to_run(bench: Bench) -> None:
    ran, waited = bench.start("sleep 300"), bench.order("echo never")
    os.kill(supervisor_of(bench, ran), signal.SIGKILL)
    value_of(bench.engine.start(waited))
    bench.ended(waited.attempt_id)
    folder = bench.attempt_folder(waited.attempt_id)
    until(lambda: not files.is_locked(str(folder / "lock")))
    for name in ("launched.json", "state.json"):
        (folder / name).unlink()
    for attempt_id in (ran, waited.attempt_id):
        edit(bench.attempt_folder(attempt_id), "order.json", boot_id="another")
    bench.restart()
    for attempt_id in (ran, waited.attempt_id):
        report = bench.report(attempt_id)
        assert report.end_reason is EndReason.ENGINE_LOST
        assert "restarted" in str(report.message)


def test_an_order_without_a_supervisor_is_taken_up_by_the_next_server(bench: Bench) -> None:
    """The server died between writing the order and starting the supervisor."""
    order = bench.order("echo run >> $PEARL_OUTPUTS/runs")
    value_of(bench.engine.start(order))
    bench.ended(order.attempt_id)
    folder = bench.attempt_folder(order.attempt_id)
    until(lambda: not files.is_locked(str(folder / "lock")))
    for name in ("launched.json", "state.json", "outputs/runs"):
        (folder / name).unlink()
    bench.restart()
    assert bench.ended(order.attempt_id).exit_code == 0
    assert (folder / "outputs" / "runs").read_text() == "run\n"


SERVER = """
import sys
from pathlib import Path
from tests.unit.engines_local.kit import Bench
bench = Bench(Path(sys.argv[1]))
print("up", flush=True)
for line in sys.stdin:
    bench.engine.start(bench.order('echo run >> $PEARL_OUTPUTS/runs; sleep 0.1', attempt_id=line.strip()))
    print("told", flush=True)
"""


def test_a_server_killed_at_any_moment_runs_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    chance = random.Random(7)
    told = set()
    for number in range(12):
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert server.stdin is not None and server.stdout is not None
        assert server.stdout.readline() == "up\n"
        attempt_id = f"att_crash{number}"
        server.stdin.write(attempt_id + "\n")
        server.stdin.flush()
        time.sleep(chance.uniform(0, 0.05))
        server.kill()
        server.wait()
        if "told" in server.stdout.read():
            told.add(attempt_id)
        server.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            server.stdin.close()
        report = value_of(bench.engine.probe(attempt_id))
        if report is None:
            assert attempt_id not in told
            value_of(
                bench.engine.start(bench.order("echo run >> $PEARL_OUTPUTS/runs", attempt_id=attempt_id))
            )
        assert bench.ended(attempt_id).exit_code == 0
        assert (bench.attempt_folder(attempt_id) / "outputs" / "runs").read_text() == "run\n"
    bench.clean_up()


def test_a_supervisor_killed_at_any_moment_runs_nothing_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    chance = random.Random(8)
    groups: list[Path] = []
    for _ in range(12):
        order = bench.order("echo run >> $PEARL_OUTPUTS/runs; sleep 0.05")
        folder = bench.attempt_folder(order.attempt_id)
        killer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(f"""
            import json, os, time
            while True:
                try:
                    pid = json.load(open({str(folder / "launched.json")!r}))['pid']
                    break
                except (OSError, ValueError):
                    time.sleep(0.001)
            time.sleep({chance.uniform(0, 0.12)})
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        """)])  # fmt: skip
        assert isinstance(bench.engine.start(order), Done)
        killer.wait()
        report = bench.ended(order.attempt_id)
        assert report.end_reason in (EndReason.EXITED, EndReason.ENGINE_LOST)
        value_of(bench.engine.start(order))
        nothing_left_of(order.attempt_id)
        runs = folder / "outputs" / "runs"
        assert not runs.exists() or runs.read_text() == "run\n"
        groups += [
            path for task in plan_of(bench, order.attempt_id)["tasks"] for path in groups_named(task["group"])
        ]
    bench.clean_up()
    assert not [path for path in groups if path.exists()]


def test_a_supervisor_told_that_the_machine_goes_down_lets_tasks_save(bench: Bench) -> None:
    attempt_id = bench.start("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: "ready" in bench.log(attempt_id))
    os.kill(supervisor_of(bench, attempt_id), signal.SIGTERM)
    report = bench.ended(attempt_id)
    assert report.end_reason is EndReason.ENGINE_LOST
    assert "shut down" in str(report.message)
    assert "saved" in bench.log(attempt_id)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    need(os.geteuid() == 0, "the right to mount (root)")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "small", folder], check=False)
    need(done.returncode == 0, "the right to mount (root)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_on_a_full_disk_nothing_is_started_and_nothing_left(small_disk: Path) -> None:
    bench = Bench(small_disk, min_free_gib=0.0)
    (small_disk / "filler").write_bytes(b"x" * (8 << 20))
    with contextlib.suppress(OSError), open(small_disk / "more", "wb", buffering=0) as more:
        while True:
            more.write(b"x" * 4096)
    order = bench.order("echo never")
    answer = bench.engine.start(order)
    assert isinstance(answer, Retry), answer
    assert "full" in str(answer.reason)
    assert value_of(bench.engine.probe(order.attempt_id)) is None
    assert not bench.attempt_folder(order.attempt_id).exists()
    (small_disk / "filler").unlink()
    (small_disk / "more").unlink()
    value_of(bench.engine.start(order))
    assert bench.ended(order.attempt_id).exit_code == 0
    bench.clean_up()


def test_with_little_space_nothing_is_started(small_disk: Path) -> None:
    bench = Bench(small_disk, min_free_gib=1.0)
    assert isinstance(bench.engine.start(bench.order("true")), Retry)


def test_a_job_that_fills_the_disk_still_gets_its_end_written(small_disk: Path) -> None:
    bench = Bench(small_disk, min_free_gib=0.0)
    script = "cat /dev/zero > $PEARL_OUTPUTS/big; cat /dev/zero > $TMPDIR/big; echo over; exit 4"
    attempt_id = bench.start(script, limits=Limits(time_s=20, disk_gib=10, grace_s=0.2))
    report = bench.ended(attempt_id)
    assert report.end_reason in (EndReason.EXITED, EndReason.DISK_LIMIT)
    assert isinstance(bench.engine.forget(attempt_id), Done)
    report, log = bench.run("echo room again")
    assert (report.exit_code, log) == (0, "room again\n")
    bench.clean_up()


def test_a_command_that_is_not_there_is_told(walled: Bench) -> None:
    order = walled.order("", command=("no-such-program-here", "x"))
    value_of(walled.engine.start(order))
    report = walled.ended(order.attempt_id)
    assert report.end_reason is EndReason.START_FAILED, report
    assert "no-such-program-here" in str(report.message)


def test_a_program_that_says_what_the_sandbox_says_only_harms_itself(sealed: Bench) -> None:
    report, _ = sealed.run("echo 'bwrap: execvp x: No such file'; exit 1")
    assert report.end_reason is EndReason.START_FAILED


def test_what_cannot_be_passed_on_is_refused_at_once(bench: Bench) -> None:
    images = "image_missing" if bench.engine.capabilities().wall.startswith("bubblewrap") else "no_images"
    bad = {
        "variable_too_large": bench.order("true", variables={"BIG": "x" * (1 << 20)}),
        "order_too_large": bench.order(
            "true", variables={f"V{number}": "x" * 100_000 for number in range(20)}
        ),
        "bad_text": bench.order("true", variables={"LONE": "\ud800"}),
        "command_too_large": bench.order("true", command=("true", "x" * (1 << 20))),
        images: bench.order("true", image="debian:12"),
        "source_missing": bench.order("true", mounts=(Mount("/no/such/folder", "/in"),)),
        "bad_limit": bench.order("true", limits=Limits(disk_gib=0)),
    }
    for code, order in bad.items():
        answer = bench.engine.start(order)
        assert isinstance(answer, Refused) and answer.code == code, answer
        assert value_of(bench.engine.probe(order.attempt_id)) is None
        assert not bench.attempt_folder(order.attempt_id).exists()
    missing = bench.order("true", stages=(Stage("/no/such\0file", "x"),))
    assert isinstance(bench.engine.start(missing), Refused)


def test_any_text_reaches_the_program(walled: Bench) -> None:
    value = "深圳 🚀 'quoted' \"double\" $HOME `x`\nsecond line\ttab \udcff end"
    report, log = walled.run(
        'printf %s "$VALUE"; printf %s "$BIG" | wc -c', variables={"VALUE": value, "BIG": "x" * 120_000}
    )
    assert report.exit_code == 0
    expected = value.encode("utf-8", "surrogateescape") + b"120000\n"
    assert log == expected.decode("utf-8", "replace")


def test_forgetting_deletes_anything_and_only_that(bench: Bench, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "precious").write_text("x")
    program = textwrap.dedent(f"""
        import os
        os.symlink({str(kept)!r}, 'link'); os.symlink({str(kept / "precious")!r}, 'file')
        os.mkfifo('pipe')
        for _ in range(1500):
            os.mkdir('deep'); os.chdir('deep')
        open('bottom', 'w').close()
        os.chdir(os.environ['PEARL_OUTPUTS'])
        os.makedirs('shut/in'); os.chmod('shut/in', 0); os.chmod('shut', 0)
    """)
    report, log = bench.python(program)
    assert report.exit_code == 0, log
    listed = value_of(bench.engine.list_outputs(report.attempt_id))
    # a server that is not root cannot look into what its job has shut, and says so
    assert [file.path for file in listed if file.problem is None] == []
    value_of(bench.engine.forget(report.attempt_id))
    assert not bench.attempt_folder(report.attempt_id).exists()
    assert list((tmp_path / "engine" / "trash").iterdir()) == []
    assert (kept / "precious").exists()
    assert bench.engine.probe(report.attempt_id) == Done(None)


def test_a_running_attempt_is_not_forgotten(bench: Bench) -> None:
    attempt_id = bench.start("sleep 300")
    assert isinstance(bench.engine.forget(attempt_id), Retry)
    assert bench.report(attempt_id).state is not TaskState.EXITED


def test_stopping_ends_the_putting_in_place_of_files(bench: Bench, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(20 << 30)
    order = bench.order("echo never", stages=(Stage(str(big), "big"),), limits=Limits(disk_gib=30, grace_s=1))
    value_of(bench.engine.start(order))
    value_of(bench.engine.stop(order.attempt_id, grace_s=1))
    report = bench.ended(order.attempt_id)
    assert report.end_reason is EndReason.STOPPED
    assert report.started_us is None
    assert bench.log(order.attempt_id) == ""


def test_files_larger_than_the_disk_limit_do_not_start(bench: Bench, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 << 20)
    order = bench.order("true", stages=(Stage(str(big), "big"),), limits=Limits(disk_gib=0.01))
    value_of(bench.engine.start(order))
    report = bench.ended(order.attempt_id)
    assert report.end_reason is EndReason.START_FAILED
    assert "disk limit" in str(report.message)
    assert report.exit_code is None


def test_thousands_of_ended_attempts_cost_a_scan_nothing(bench: Bench) -> None:
    report, _ = bench.run("true")
    folder = bench.attempt_folder(report.attempt_id)
    order, state = (folder / "order.json").read_text(), (folder / "state.json").read_text()
    for number in range(500):
        copy = folder.parent / f"att_copy{number}"
        copy.mkdir()
        (copy / "order.json").write_text(order.replace(report.attempt_id, copy.name))
        (copy / "state.json").write_text(state)
    assert len(value_of(bench.engine.scan())) == 501
    before = time.process_time()
    assert len(value_of(bench.engine.scan())) == 501
    assert time.process_time() - before < 0.25
    import shutil

    for number in range(500):
        shutil.rmtree(folder.parent / f"att_copy{number}")


def test_ends_that_do_not_fit_into_memory_are_told_from_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ENDED_KEPT", 3)
    codes = {bench.run(f"exit {code}")[0].attempt_id: code for code in range(6)}
    for _ in range(2):
        assert {report.attempt_id: report.exit_code for report in value_of(bench.engine.scan())} == codes
    for attempt_id, code in codes.items():
        assert bench.report(attempt_id).exit_code == code
        assert value_of(bench.engine.stop(attempt_id, grace_s=1)) is None
    assert len(bench.engine._ended) == 3


def test_clocks_that_step_back_do_not_move_ours() -> None:
    wall, monotonic = [10**18], [0]
    clock = files.WallClock(lambda: wall[0], lambda: monotonic[0])
    first = clock.now_us()
    monotonic[0] += 5_000_000_000
    wall[0] -= 3_600_000_000_000
    assert clock.now_us() == first + 5_000_000
    wall[0] += 2 * 3_600_000_000_000
    assert clock.now_us() == wall[0] // 1000


def parent_of(bench: Bench, attempt_id: str) -> int:
    fields = files.stat_fields(supervisor_of(bench, attempt_id))
    assert fields is not None
    return int(fields[1][1])


def is_fork_server(pid: int) -> bool:
    return b"--fork-server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def fork_server_of(bench: Bench, attempt_id: str) -> int:
    parent = parent_of(bench, attempt_id)
    assert is_fork_server(parent)
    return parent


def living_fork_server(bench: Bench) -> int:
    """A fork server that is slow to answer is given up with what it started; the next start makes another."""
    for _ in range(10):
        parent = parent_of(bench, bench.start("sleep 0.2"))
        if is_fork_server(parent):
            return parent
    raise AssertionError("no attempt has a living fork server")


def is_gone(pid: int) -> bool:
    fields = files.stat_fields(pid)
    return fields is None or fields[1][0] in "ZX"


def test_a_killed_fork_server_harms_no_supervisor_and_is_replaced(bench: Bench) -> None:
    first = bench.start("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    fork_server = fork_server_of(bench, first)
    os.kill(fork_server, signal.SIGKILL)
    until(lambda: is_gone(fork_server))
    second, third = bench.start("sleep 300"), bench.start("sleep 300")
    assert fork_server_of(bench, third) != fork_server
    until(lambda: "ready" in bench.log(first))
    for attempt_id in (first, second, third):
        assert bench.report(attempt_id).state is TaskState.RUNNING
        value_of(bench.engine.stop(attempt_id, grace_s=20))
        assert bench.ended(attempt_id).end_reason is EndReason.STOPPED
    assert "saved" in bench.log(first)


def test_a_fork_server_killed_at_any_moment_loses_no_start_and_runs_nothing_twice(bench: Bench) -> None:
    chance = random.Random(9)
    bench.run("true")
    for _ in range(15):
        fork_server = living_fork_server(bench)
        killer = subprocess.Popen(
            [sys.executable, "-S", "-c", f"import os, time; input(); time.sleep({chance.uniform(0, 0.01)}); os.kill({fork_server}, 9)"],
            stdin=subprocess.PIPE,
        )  # fmt: skip
        assert killer.stdin is not None
        killer.stdin.write(b"go\n")
        killer.stdin.flush()
        orders = [bench.order("echo run >> $PEARL_OUTPUTS/runs") for _ in range(3)]
        for order in orders:
            value_of(bench.engine.start(order))
        killer.communicate()
        for order in orders:
            assert bench.ended(order.attempt_id).exit_code == 0
            runs = bench.attempt_folder(order.attempt_id) / "outputs" / "runs"
            assert runs.read_text() == "run\n"


def test_a_fork_server_ends_with_its_engine_and_supervisors_go_on(bench: Bench) -> None:
    attempt_id = bench.start("sleep 300")
    fork_server = fork_server_of(bench, attempt_id)
    bench.restart()
    until(lambda: is_gone(fork_server))
    assert bench.report(attempt_id).state is TaskState.RUNNING


def test_a_fork_server_that_hangs_is_left_and_nothing_it_does_later_counts_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "ACKNOWLEDGE_WITHIN_S", 2.0)
    hung = fork_server_of(bench, bench.start("sleep 0.1"))
    os.kill(hung, signal.SIGSTOP)
    order = bench.order("echo run >> $PEARL_OUTPUTS/runs")
    try:
        answer = bench.engine.start(order)
        assert isinstance(answer, Unknown), answer
        assert bench.ended(order.attempt_id).exit_code == 0
    finally:
        os.kill(hung, signal.SIGCONT)
    until(lambda: is_gone(hung))
    runs = bench.attempt_folder(order.attempt_id) / "outputs" / "runs"
    assert runs.read_text() == "run\n"


def test_a_supervisor_inherits_nothing_of_its_fork_server_or_of_other_attempts(bench: Bench) -> None:
    first = bench.start("umask; sleep 300")
    attempts = [first, *(bench.start("umask; sleep 300") for _ in range(3))]
    for attempt_id in attempts:
        pid = supervisor_of(bench, attempt_id)
        places = {link: os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        assert not [place for place in places.values() if place.startswith("socket:")], places
        held = [place.partition("/attempts/")[2] for place in places.values() if place.startswith("/")]
        assert {place.split("/")[0] for place in held if place} <= {attempt_id}, places
        assert len(places) < 20, places
        fields = files.stat_fields(pid)
        assert fields is not None and int(fields[1][3]) == pid, "a session of its own"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {item.partition(b"=")[0] for item in variables if item} <= {b"PATH", b"LANG", b"LC_CTYPE"}
        until(lambda attempt_id=attempt_id: "0022" in bench.log(attempt_id))
    assert len(list(Path(f"/proc/{fork_server_of(bench, first)}/fd").iterdir())) < 10
