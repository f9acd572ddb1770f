"""How SIGTERM reaches a job: everybody who should save something hears it, and nobody is cut off while saving."""

from __future__ import annotations

from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import Bench, processes_with, until

from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.protocol import EndReason

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


def test_a_shell_that_waits_in_the_foreground_runs_its_trap(bench: Bench) -> None:
    script = (
        "trap 'sleep 0.2; cp /etc/hosts $PEARL_OUTPUTS/saved; exit 0' TERM; echo ready; sleep 60; sleep 60"
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
