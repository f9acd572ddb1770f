"""kill -9 of the server, again and again, under clients that keep submitting, cancelling, reading and paying.

PEARL_CRASH_CYCLES says how often (6 unless told, `make crash CYCLES=100` for the long run), half of them on this
machine's real engine, half on a simulated cluster. Every other kill strikes at a chosen point of the server's own code
(doomed.py), the others at random moments.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pearlstreet.compute.engines.local.supervisor import files
from tests.crash import checks, doomed
from tests.crash.load import Load, Memory
from tests.crash.server import Server

CYCLES = int(os.environ.get("PEARL_CRASH_CYCLES", "6"))
SEED = int(os.environ.get("PEARL_CRASH_SEED", "1"))
OVER_WITHIN_S = 240.0
DOOMED = Path(doomed.__file__)
pytestmark = pytest.mark.slow
FAST = {"PEARL_METER_INTERVAL_S": "0.4", "PEARL_HOLD_WINDOW_S": "3", "PEARL_START_TIMEOUT_S": "8"}


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(tmp_path / "data", *getattr(request, "param", ()), environment=FAST)
    yield made
    made.clean_up()


@dataclass
class Kills:
    """How often the server was killed, and how often of that by itself."""

    all: int = 0
    own: int = 0


def test_the_local_engine_through_kills_of_the_server(server: Server) -> None:
    memory, kills = _many_lives(server, CYCLES - CYCLES // 2, simulated=False)
    ran = checks.no_attempt_ran_twice(server)
    assert ran > 0
    left = {folder.name for folder in server.attempts.iterdir() if (folder / files.ORDER).exists()}
    assert left <= {row["id"] for row in server.rows("SELECT id FROM attempts")}
    assert not server.wait_alone(), "something still runs"
    _tell("local", memory, kills, f"{ran} executions")


@pytest.mark.parametrize("server", [("--simulate", "8x8xH100-80G", "--simulate-speed", "3")], indirect=True)
def test_the_simulated_engine_through_kills_of_the_server(server: Server) -> None:
    server.environment["PEARL_SIMULATE_FAULTS"] = "ack_lost:0.1,request_lost:0.02"
    memory, kills = _many_lives(server, CYCLES // 2, simulated=True)
    _tell("simulated", memory, kills, f"{len(server.rows('SELECT id FROM attempts'))} attempts")


def _tell(engine: str, memory: Memory, kills: Kills, more: str) -> None:
    print(
        f"\n{engine}: {kills.all} kills ({kills.own} at chosen points), {len(memory.jobs)} jobs acknowledged, {len(memory.cancelled)} cancelled,"
        f" {len(memory.top_ups)} top-ups, {len(memory.lines)} postings and {len(memory.logs)} logs seen, {more}"
    )


def _many_lives(server: Server, cycles: int, *, simulated: bool) -> tuple[Memory, Kills]:
    rng, memory, kills = random.Random(SEED), Memory(), Kills()
    server.start()
    server.make_tenant()
    load = Load(server, memory, SEED, simulated=simulated)
    load.start()
    for cycle in range(cycles):
        kills.own += _one_life(server, rng, doomed_life=cycle % 2 == 1)
        running, begun = server.supervisors(), _begun(server)
        kills.own += _restart(
            server, rng, doomed_next=cycle % 2 == 0 and cycle + 1 < cycles, simulated=simulated
        )
        try:
            _look(server, memory, load)
        except httpx.TransportError:  # a doomed server may die while it is looked at
            assert server.process is not None
            assert server.process.wait(30) == -9, server.words()[-3000:]
            kills.all += 1
            kills.own += 1
            server.start()
            _look(server, memory, load)
        _ran_on(server, running, begun)
        kills.all += 1
        if kills.all % 10 == 0:
            print(f"{kills.all} kills, {len(memory.jobs)} jobs")
    load.stop()
    load.settle_unsure()
    _let_it_finish(server)
    checks.everything_is_over(server)
    checks.nothing_acknowledged_is_lost(server, memory)
    checks.logs_are_whole(server, memory, some=10_000)
    checks.no_device_is_given_twice(server)
    checks.cancels_were_honoured(server, memory)
    checks.use_is_whole(server)
    assert server.end() == 0
    return memory, kills


def _look(server: Server, memory: Memory, load: Load) -> None:
    load.settle_unsure()
    checks.nothing_acknowledged_is_lost(server, memory)
    checks.logs_are_whole(server, memory)
    checks.no_job_is_there_twice(server)
    checks.no_device_is_given_twice(server)


def _one_life(server: Server, rng: random.Random, *, doomed_life: bool) -> bool:
    """Until the server is dead; whether it was by its own hand at its chosen point."""
    until = time.monotonic() + (6.0 if doomed_life else rng.uniform(0.2, 2.5))
    assert server.process is not None
    while time.monotonic() < until and server.process.poll() is None:
        time.sleep(0.01)
    by_itself = server.process.poll() is not None
    server.kill()
    assert server.process.wait(30) == -9, server.words()[-3000:]
    return by_itself


def _restart(server: Server, rng: random.Random, *, doomed_next: bool, simulated: bool) -> bool:
    """Start it again; whether it first died once more before it could answer."""
    if not doomed_next:
        server.start()
        return False
    ours = "simulated" if simulated else "local"
    other = "local" if simulated else "simulated"
    points = [name for name in doomed.POINTS if not name.startswith(other)] + ["commit"] * 2
    point = rng.choice([name for name in points if name != "write_json" or ours == "local"])
    most = 60 if point in ("commit", f"{ours}_probe", "write_json") else 5
    order = f"{rng.choice(('before', 'after'))}_{point}:{rng.randint(1, most)}"
    server.launch((str(DOOMED),), DOOM=order)
    if server.wait_ready():
        return False
    server.start()
    return True


Begun = dict[str, tuple[int | None, str | None]]


def _begun(server: Server) -> Begun:
    query = "SELECT id, started_us, wall FROM attempts WHERE started_us IS NOT NULL"
    return {row["id"]: (row["started_us"], row["wall"]) for row in server.rows(query)}


def _ran_on(server: Server, running: dict[str, tuple[int, int]], begun: Begun) -> None:
    """Attempts are under the same supervisors as before, or have ended; and began when they began."""
    now = server.supervisors()
    for attempt, identity in running.items():
        if attempt in now:
            assert now[attempt] == identity, f"{attempt} has another supervisor"
        else:
            state = files.read_json(str(server.attempts / attempt), files.STATE)
            assert state is not None, f"{attempt} vanished"
            assert state["state"] == "exited", f"{attempt} lost its supervisor"
    after = _begun(server)
    assert {attempt: after.get(attempt) for attempt in begun} == begun


def _let_it_finish(server: Server) -> None:
    until = time.monotonic() + OVER_WITHIN_S
    query = "SELECT (SELECT count(*) FROM jobs WHERE ended_us IS NULL) + (SELECT count(*) FROM attempts WHERE state <> 'ended') AS open"
    while server.rows(query)[0]["open"]:
        assert time.monotonic() < until, server.rows(
            "SELECT id, state, reason_code, reason FROM jobs WHERE ended_us IS NULL"
        )
        time.sleep(0.2)
