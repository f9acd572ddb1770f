"""How SIGTERM reaches a job: every process gets it once, and none is cut off while it saves its work."""

from __future__ import annotations

from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import Bench, processes_with, until

from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.protocol import EndReason, Limits

SAVES = """
import os, signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    open(os.environ['PEARL_OUTPUTS'] + '/saved', 'w').write('yes')
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print('ready', flush=True)
time.sleep(60)
"""


def stop_when_ready(bench: Bench, script: str, **wishes: object) -> str:
    attempt_id = bench.start(script, **wishes)  # type: ignore[arg-type]
    until(lambda: "ready" in bench.log(attempt_id))
    value_of(bench.engine.stop(attempt_id, grace_s=10))
    assert bench.ended(attempt_id).end_reason is EndReason.STOPPED
    return attempt_id


def saved(bench: Bench, attempt_id: str) -> bool:
    return (bench.attempt_folder(attempt_id) / "outputs" / "saved").exists()


def test_a_program_saves_its_work(walled: Bench) -> None:
    attempt_id = stop_when_ready(walled, 'exec python3 -c "$PROGRAM"', variables={"PROGRAM": SAVES})
    assert saved(walled, attempt_id)


def test_a_program_started_by_a_shell_saves_its_work(walled: Bench) -> None:
    script = 'python3 -c "$PROGRAM"; echo after'
    attempt_id = stop_when_ready(walled, script, variables={"PROGRAM": SAVES})
    assert saved(walled, attempt_id)
    assert "after" not in walled.log(attempt_id)


def test_a_shell_loop_starts_no_later_line(walled: Bench) -> None:
    script = 'echo ready; for turn in $(seq 1 2000); do echo "turn $turn"; sleep 0.2; done; echo after'
    attempt_id = stop_when_ready(walled, script)
    lines = walled.log(attempt_id).splitlines()
    assert "after" not in lines and len(lines) < 100, "the loop raced through its remaining turns"


def test_the_time_limit_ends_a_shell_loop_too(bench: Bench) -> None:
    script = "for turn in $(seq 1 2000); do echo turn; sleep 0.1; done; echo after"
    report, log = bench.run(script, limits=Limits(time_s=0.5, grace_s=20))
    assert report.end_reason is EndReason.TIME_LIMIT
    assert "after" not in log and log.count("turn") < 100


COUNTS = """
import os, signal, sys, time
heard = 0
def count(number, frame):
    global heard
    heard += 1
signal.signal(signal.SIGTERM, count)
print('ready', os.environ['NAME'], flush=True)
ends = time.monotonic() + 60
while time.monotonic() < ends and not heard:
    time.sleep(0.05)
time.sleep(0.6)
open(os.environ['PEARL_OUTPUTS'] + '/' + os.environ['NAME'], 'w').write(str(heard))
"""


def test_every_process_hears_it_exactly_once_and_the_job_ends_with_the_last(walled: Bench) -> None:
    """The shell between them ends at once; its children, and one that left its session, are still waited for."""
    script = """
NAME=near python3 -c "$PROGRAM" &
NAME=session setsid python3 -c "$PROGRAM" &
NAME=foreground python3 -c "$PROGRAM"
echo after
"""
    attempt_id = walled.start(script, variables={"PROGRAM": COUNTS})
    until(lambda: walled.log(attempt_id).count("ready") == 3)
    value_of(walled.engine.stop(attempt_id, grace_s=20))
    assert walled.ended(attempt_id).end_reason is EndReason.STOPPED
    outputs = walled.attempt_folder(attempt_id) / "outputs"
    assert {path.name: path.read_text() for path in outputs.iterdir()} == {
        "near": "1", "session": "1", "foreground": "1",
    }  # fmt: skip
    assert "after" not in walled.log(attempt_id)


def test_a_process_that_ignores_it_is_killed_after_the_grace(walled: Bench) -> None:
    attempt_id = walled.start("(trap '' TERM; sleep 0.1; echo ready; sleep 300) & wait")
    until(lambda: "ready" in walled.log(attempt_id))
    value_of(walled.engine.stop(attempt_id, grace_s=0.5))
    assert walled.ended(attempt_id).end_reason is EndReason.STOPPED
    assert not processes_with(f"PEARL_ATTEMPT_ID={attempt_id}".encode())


def test_a_shell_that_waits_in_the_foreground_runs_its_trap(bench: Bench) -> None:
    script = (
        "trap 'sleep 0.2; cp /dev/null $PEARL_OUTPUTS/saved; exit 0' TERM; echo ready; sleep 60; sleep 60"
    )
    attempt_id = bench.start(script)
    mark = f"PEARL_ATTEMPT_ID={attempt_id}".encode()
    until(lambda: "sleep" in {name_of(pid) for pid in processes_with(mark)})
    value_of(bench.engine.stop(attempt_id, grace_s=10))
    assert bench.ended(attempt_id).end_reason is EndReason.STOPPED
    assert saved(bench, attempt_id)


def name_of(pid: int) -> str:
    found = files.stat_fields(pid)
    return "" if found is None else found[0]


def test_a_stop_with_less_grace_hastens_one_with_more(bench: Bench) -> None:
    attempt_id = bench.start("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: "ready" in bench.log(attempt_id))
    value_of(bench.engine.stop(attempt_id, grace_s=500))
    value_of(bench.engine.stop(attempt_id, grace_s=0.1))
    assert bench.ended(attempt_id).end_reason is EndReason.STOPPED


def test_a_process_that_hides_from_its_parents_is_ended_too(walled: Bench) -> None:
    program = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        time.sleep(300)
    os._exit(0)
os.wait()
print('left one behind')
"""
    report, log = walled.python(program)
    assert (report.exit_code, log) == (0, "left one behind\n")
    assert not processes_with(f"PEARL_ATTEMPT_ID={report.attempt_id}".encode())
