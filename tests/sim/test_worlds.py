"""Worlds are the same twice, keep every promise, and come to rest."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pearlstreet.compute.jobs import service
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.sim import run
from pearlstreet.sim.convergence import converge
from pearlstreet.sim.faults.registry import BY_NAME, KINDS
from pearlstreet.sim.promises import Crash
from pearlstreet.sim.run import run_seed
from pearlstreet.sim.trace import Trace
from pearlstreet.sim.world import World
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.workload.spec.parse import parse_json

SEEDS = (12, 21)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_world_keeps_its_promises_and_comes_to_rest(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.failure is None, f"{outcome.failure}; pearl sim replay {seed}"
    assert outcome.cycles is not None
    assert sum(outcome.faults.values()) > 20
    assert outcome.jobs > 5


def test_a_seed_is_the_same_world_in_another_process() -> None:
    """Also under another order of hashes: nothing may depend on how a set is walked."""
    program = "from pearlstreet.sim.run import run_seed; print(run_seed(3, until=40).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": order},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for order in ("0", "1")
    }
    digests.add(run_seed(3, until=40).digest + "\n")
    assert len(digests) == 1


def test_another_seed_is_another_world() -> None:
    assert run_seed(3, until=5).digest != run_seed(4, until=5).digest


def test_a_replay_shows_what_happened_in_a_step() -> None:
    trace = Trace()
    outcome = run_seed(2, trace, until=30)
    assert outcome.steps == 30
    first = list(trace.of_steps(1, 10))
    assert first
    assert {event.step for event in first} <= set(range(1, 11))


def test_kinds_of_fault_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(KINDS) >= 25


def test_a_crash_of_a_server_that_took_over_ends_where_it_happened(tmp_path: Path) -> None:
    """A tenant talks to one server, which stands still; another takes over, answers the rest, and dies of that."""
    world = World(1, tmp_path)
    first = world.active_server

    def ask_twice() -> None:
        assert world.take_over(first)
        raise Crash(world.active_server.name, "after a commit")

    world.on(first, ask_twice)
    assert [server.name for server in world.servers] == [world.active_server.name]
    assert world.active_server.name not in (first.name, "s2")


def test_a_crash_goes_up_to_where_its_server_began_the_work(tmp_path: Path) -> None:
    world = World(1, tmp_path)
    first = world.active_server
    assert world.start_second_server()
    reached = []

    def inner() -> None:
        raise Crash(first.name, "before a commit")

    def outer() -> None:
        world.on(world.servers[1], inner)
        reached.append("the rest of a step whose process is dead")

    world.on(first, outer)
    assert not reached
    assert len(world.servers) == 2 and first not in world.servers


def test_a_shared_memory_folder_that_cannot_be_written_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with run._folder() as folder:
        assert not folder.is_relative_to(run.FAST)


def test_an_array_that_waits_for_a_quota_rests_with_all_its_elements(tmp_path: Path) -> None:
    """Elements beyond the array's own limit are not planned: `why` tells of the limit, their rows of nothing."""
    world = World(1, tmp_path)
    world.scenario = replace(world.scenario, forgives=False)
    tenant, store = world.clients.tenants[0], world.active_server.store
    set_quota(store, SYSTEM, tenant.slug, QuotaWish("cards", maximum=0.0))
    spec = {"name": "sweep", "command": ["true"], "array": {"size": 3, "max_running": 1}, "simulate": "3s"}
    spec |= {"per_task": {"accelerator": "any", "count": 1}, "time_limit": "60s"}
    service.submit_job(store, SYSTEM, world.active_server.runtime, tenant.slug, parse_json(spec))
    assert converge(world) <= 3
