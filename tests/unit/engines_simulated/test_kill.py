"""kill -9 of the process that drives a simulated cluster: what it acknowledged is there when the next one comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fakes.engines import value_of
from tests.unit.engines_simulated.making import make_engine

from pearlstreet.base.clock import SystemClock

ROOT = Path(__file__).parents[3]
DRIVER = """
import sys
from pathlib import Path
from pearlstreet.base.clock import SystemClock
from tests.unit.engines_simulated.making import make_engine, make_order
engine = make_engine(SystemClock(), state_path=Path(sys.argv[1]))
number = 0
while True:
    number += 1
    answer = engine.start(make_order(f"att_{number}", lasts_s=1000, devices=0))
    print("started", answer.value.attempt_id, flush=True)
    if number % 3 == 0:
        engine.stop(f"att_{number}", grace_s=0)
        print("stopped", f"att_{number}", flush=True)
"""


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    state = tmp_path / "state"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(state)], cwd=ROOT, stdout=subprocess.PIPE)
    assert driver.stdout is not None
    told = [driver.stdout.readline().decode().split() for _ in range(200)]
    driver.kill()
    told += [line.decode().split() for line in driver.stdout if line.endswith(b"\n")]
    driver.wait()
    driver.stdout.close()
    engine = make_engine(SystemClock(), state_path=state)
    known = {report.attempt_id: report for report in value_of(engine.scan())}
    started = {name for what, name in told if what == "started"}
    assert len(started) > 100
    assert started <= set(known)
    for what, name in told:
        if what == "stopped":
            assert known[name].ended_us is not None
    engine.close()
