"""A neighbour's queue is the neighbour's: what it submits more delays no organisation that holds less by its weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.dice import Dice, Law, drawn
from tests.property.planner_world import World, request_of, waiting_job, world

from pearlstreet.compute.queueing.planning_window import deal_places
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.order.fair_share import FairShare, held
from pearlstreet.compute.scheduling.order.ties import ranked
from pearlstreet.compute.scheduling.topology_cache import PlannerCache

few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
counts_of_accounts = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), st.integers(0, 60), max_size=12
)


def shares(snapshot: Snapshot, config: PlannerConfig) -> dict[str, float]:
    """Dominant share that each organisation holds, past use included, over its weight."""
    accounts = snapshot.accounts
    by_org = np.zeros((len(accounts.orgs), 3))
    np.add.at(by_org, accounts.project_org, held(snapshot, config.half_life_s))
    weighted = by_org.max(axis=1, initial=0.0) / accounts.org_weight
    return {str(org): float(share) for org, share in zip(accounts.orgs, weighted, strict=True)}


def first_of(snapshot: Snapshot, org: str, config: PlannerConfig) -> str | None:
    """The job of an organisation that fair share ranks first."""
    waiting = snapshot.waiting
    order = ranked(FairShare().keys(snapshot, config, PlannerCache()).waiting, waiting.ids)
    names = snapshot.accounts.orgs
    return next((waiting.ids[row] for row in order if str(names[waiting.org[row]]) == org), None)


def check(before: World, more: World, config: PlannerConfig) -> None:
    """Where red holds less than blue by weight, its first job starts with the longer queue if it starts with the shorter."""
    alone, crowded = before.snapshot(), more.snapshot()
    found = shares(crowded, config)
    if found.get("red", 0.0) >= found.get("blue", 0.0):
        return
    first = first_of(alone, "red", config)
    if first in {placement.job_id for placement in plan(alone, config).placements}:
        assert first in {placement.job_id for placement in plan(crowded, config).placements}


def case(dice: Dice) -> tuple[World, World, PlannerConfig]:
    """A center, and the same with more waiting jobs of blue, of any priority and submitted at any time."""
    made = world(dice, quotas=False)
    before = replace(made, waiting=tuple(replace(job, array="", array_limit=None) for job in made.waiting))
    extra = [
        replace(
            waiting_job(dice, 100 + number, request_of(dice)),
            org="blue",
            project=f"blue-{dice.integer(0, 1)}",
            array="",
            array_limit=None,
            priority=dice.pick([0, 5, 100]),
            submitted_us=dice.integer(0, 6),
        )
        for number in range(dice.integer(1, 12))
    ]
    config = PlannerConfig(
        placement=dice.pick(["expected-fill", "pack", "best-fit", "spread"]),
        backfill=dice.pick(["easy", "conservative", "greedy", "strict"]),
        preemption=dice.pick(["priority", "none"]),
    )
    return before, replace(before, waiting=(*before.waiting, *extra)), config


@few
@given(drawn(case)())
def test_more_jobs_of_a_neighbour_delay_no_first_job(made: tuple[World, World, PlannerConfig]) -> None:
    check(*made)


@given(counts_of_accounts, st.integers(0, 200))
def test_places_are_dealt_evenly_and_none_is_left_over(counts: dict[tuple[str, str], int], most: int) -> None:
    places = deal_places(counts, most)
    assert sum(places.values()) == min(most, sum(counts.values()))
    assert all(0 <= places[account] <= counts[account] for account in counts)
    orgs = {org for org, _ in counts}
    got = {org: sum(n for account, n in places.items() if account[0] == org) for org in orgs}
    wanted = {org: sum(n for account, n in counts.items() if account[0] == org) for org in orgs}
    for org in orgs:
        if got[org] < wanted[org]:
            assert got[org] >= max(got.values()) - 1, "whoever wants more has no less than anybody else"


@given(counts_of_accounts, st.integers(1, 200), st.integers(1, 100_000))
def test_a_longer_queue_of_one_takes_no_place_below_the_others_even_part(
    counts: dict[tuple[str, str], int], most: int, more: int
) -> None:
    counts = counts | {("mine", "x"): 30}
    crowded = counts | {("a", "x"): counts.get(("a", "x"), 0) + more}
    orgs = len({org for org, _ in crowded})
    assert deal_places(crowded, most)["mine", "x"] >= min(30, most // orgs)


def check_any(dice: Dice) -> None:
    check(*case(dice))


LAWS: Mapping[str, Law] = {"more jobs of a neighbour delay no first job": check_any}
