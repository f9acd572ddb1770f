"""Nobody starves: with a bound on waiting, a stream of newer jobs cannot hold an old one back for ever."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.dice import Dice, Law

from pearlstreet.compute.replay.online import Arrival, OnlinePool
from pearlstreet.compute.scheduling.config import PlannerConfig

HOUR_US = 3_600_000_000
ORDERS = ("fifo", "gittins", "las", "priority", "shortest")
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

streams = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 30)), min_size=1, max_size=4)
"""What comes every hour over and over: devices and hours of each job."""


def hours_until_run(
    order: str, preemption: str, bound_h: int, gpus: int, stream: list[tuple[int, int]]
) -> int:
    """When a job of one hour that came in hour 2 has run, met by an endless stream of others."""
    config = PlannerConfig(
        order=order, preemption=preemption, backfill="easy", placement="pack", min_run_s=0.0, grace_s=0.0,
        wait_max_s=bound_h * 3600.0,
    )  # fmt: skip
    pool, needs, left = OnlinePool(["a", "b"], 4, config), {"old": 1}, dict[str, int]()
    for hour in range(24 * 7):
        now_us = hour * HOUR_US
        for name in [name for name, hours in left.items() if hours == 0]:
            pool.finish(name, now_us)
            del left[name]
            if name == "old":
                return hour
        count, hours = stream[hour % len(stream)]
        needs[f"s{hour}"] = hours
        pool.arrive(Arrival(f"s{hour}", "all", count), now_us)
        if hour == 2:
            pool.arrive(Arrival("old", "all", gpus), now_us)
        answer = pool.decide(now_us)
        for name in answer.stop:
            needs[name] = left.pop(name)
        left.update({name: needs[name] for name in answer.start})
        left = {name: hours - 1 for name, hours in left.items()}
    raise AssertionError("it never ran")


def check(order: str, preemption: str, gpus: int, stream: list[tuple[int, int]]) -> None:
    """It is first in line after the bound; then at most what ran before, and jobs as old as it, are in its way."""
    bound_h = 12
    longest = max(hours for _, hours in stream)
    assert hours_until_run(order, preemption, bound_h, gpus, stream) <= 2 + bound_h + 4 * longest + 2


@few
@given(st.sampled_from(ORDERS), st.sampled_from(["none", "rank"]), st.integers(1, 8), streams)
def test_an_old_job_runs_however_many_newer_ones_come(
    order: str, preemption: str, gpus: int, stream: list[tuple[int, int]]
) -> None:
    check(order, preemption, gpus, stream)


def test_a_reservation_that_moves_from_node_to_node_starves_nobody() -> None:
    """Ends are guesses here: each time one failed, the reservation went elsewhere and what it left was taken."""
    check("fifo", "none", 4, [(2, 22), (3, 2), (1, 25)])


def check_any(dice: Dice) -> None:
    stream = [(dice.integer(1, 8), dice.integer(1, 30)) for _ in range(dice.integer(1, 4))]
    check(dice.pick(ORDERS), dice.pick(["none", "rank"]), dice.integer(1, 8), stream)


LAWS: Mapping[str, Law] = {"an old job runs however many newer ones come": check_any}
