"""What must hold of placing one request after the other, by every policy, however small or odd the center is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.dice import Dice, Law, drawn
from tests.property.naive_planner import Node, make_nodes, share_on, times
from tests.property.planner_world import MODELS, PFLOPS, node_row, request_of

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling import kernels
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.online_placer import OnlinePlacer, Seat
from pearlstreet.compute.scheduling.placement.selector import NodeSelector
from pearlstreet.compute.scheduling.registry import PLACEMENTS
from pearlstreet.compute.scheduling.rows import NodeRow, Request, match_models

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Day:
    """A center and what is asked of it: a request, or the number of an earlier one that ends."""

    nodes: tuple[NodeRow, ...]
    asked: tuple[Request | int, ...]
    history: tuple[Request, ...]


def day_of(dice: Dice) -> Day:
    nodes = tuple(node_row(dice, i) for i in range(dice.integer(1, 6)))
    kinds = [request_of(dice) for _ in range(dice.integer(1, 5))]
    asked = [
        dice.integer(0, i) if i and dice.integer(0, 4) == 0 else dice.pick(kinds)
        for i in range(dice.integer(1, 12))
    ]
    return Day(nodes, tuple(asked), tuple(kinds) if dice.yes() else ())


days = drawn(day_of)


def make_placer(day: Day, placement: str) -> OnlinePlacer:
    history = dict.fromkeys(day.history, 3)
    config = PlannerConfig(placement=placement)
    return OnlinePlacer(day.nodes, config, workload=history, pflops_of=PFLOPS.__getitem__)


def played(day: Day, placement: str) -> list[Seat | None]:
    placer = make_placer(day, placement)
    seats: list[Seat | None] = []
    for item in day.asked:
        if isinstance(item, Request):
            seats.append(placer.place(item))
            continue
        ended = seats[item] if item < len(seats) else None
        if ended is not None:
            placer.release(ended)
            seats[item] = None
        seats.append(None)
    return seats


def allowed(request: Request) -> Sequence[str]:
    return match_models(request.accelerators, MODELS) if request.wants_device else ("",)


def held(nodes: dict[str, Node], request: Request, seat: Seat, sign: int) -> None:
    """Take the task out of the naive nodes (sign -1), or put it back."""
    node = nodes[seat.node]
    node.cpu += sign * request.cpu_milli
    node.memory += sign * request.memory_mib
    assert len(seat.devices) == (1 if request.share else request.count)
    assert len(set(seat.devices)) == len(seat.devices)
    given = [next(d for d in node.devices if d.index == index) for index in seat.devices]
    assert len({d.model for d in given}) <= 1, "all devices of a task are of one model"
    for device in given:
        assert device.ok
        assert device.model in allowed(request)
        share = share_on(request, device.total) if request.share else None
        device.memory += sign * (device.total if share is None else share.memory_mib)
        device.compute += sign * (FULL_BP if share is None else share.compute_bp)
        assert 0 <= device.memory <= device.total
        assert 0 <= device.compute <= FULL_BP
    assert node.up
    assert min(node.cpu, node.memory) >= 0 or request.cpu_milli + request.memory_mib == 0


def check_day(day: Day, placement: str) -> None:
    """Never more than there is, and never a refusal while some node has room."""
    placer, nodes = make_placer(day, placement), make_nodes(list(day.nodes), [])
    seats: list[tuple[Request, Seat] | None] = []
    for item in day.asked:
        if isinstance(item, Request):
            seat = placer.place(item)
            if seat is None:
                free = [(n, m) for n in nodes.values() for m in allowed(item) if times(n, item, m, 1)]
                assert not free, (item, free)
            else:
                held(nodes, item, seat, -1)
            seats.append(None if seat is None else (item, seat))
            continue
        ended = seats[item] if item < len(seats) else None
        if ended is not None:
            placer.release(ended[1])
            held(nodes, *ended, 1)
            seats[item] = None
        seats.append(None)


@few
@given(days(), st.sampled_from(sorted(PLACEMENTS)))
def test_it_never_overcommits_and_never_refuses_what_fits(day: Day, placement: str) -> None:
    check_day(day, placement)


def check_kernels(day: Day, placement: str) -> None:
    if not kernels.installed():
        pytest.skip("numba is not installed; it is a dependency wherever it has wheels")
    with kernels.using("never"):
        plain = played(day, placement)
    with kernels.using("always"):
        assert played(day, placement) == plain


@few
@given(days())
def test_compiled_kernels_decide_as_numpy_does(day: Day) -> None:
    check_kernels(day, "expected-fill")


@few
@given(days(), st.sampled_from(sorted(PLACEMENTS)))
def test_remembered_scores_decide_as_fresh_ones_do(day: Day, placement: str) -> None:
    check_memory(day, placement)


def check_memory(day: Day, placement: str) -> None:
    """A desk that forgets everything but what is free before each question answers the same."""
    placer, forgetful = make_placer(day, placement), make_placer(day, placement)
    placer.place(Request(cpu_milli=1))
    forgetful.place(Request(cpu_milli=1))
    seats: list[Seat | None] = []
    for item in day.asked:
        if isinstance(item, Request):
            forgetful._selector = NodeSelector(forgetful.capacity, forgetful._make().scorer)
            seat = placer.place(item)
            assert forgetful.place(item) == seat
            seats.append(seat)


@few
@given(days(), st.sampled_from(sorted(PLACEMENTS)), st.data())
def test_names_and_listing_order_of_nodes_do_not_matter(
    day: Day, placement: str, data: st.DataObject
) -> None:
    check_names(day, placement, data.draw(st.permutations(range(len(day.nodes)))))


def check_names(day: Day, placement: str, order: list[int]) -> None:
    names = {f"n{i}": f"m{len(order) - i}" for i in range(len(order))}
    nodes = tuple(replace(day.nodes[i], name=names[day.nodes[i].name]) for i in order)
    first, second = played(day, placement), played(replace(day, nodes=nodes), placement)
    # a rack or POD that is like another is told from it by nothing but its name
    alike = {row.name: replace(row, name="", rack="", pod="") for row in (*day.nodes, *nodes)}
    assert [seat and (alike[seat.node], seat.devices) for seat in first] == [
        seat and (alike[seat.node], seat.devices) for seat in second
    ]


def a_policy(dice: Dice) -> str:
    return dice.pick(sorted(PLACEMENTS))


def with_order(dice: Dice) -> None:
    day = day_of(dice)
    check_names(day, a_policy(dice), dice.order(len(day.nodes)))


LAWS: Mapping[str, Law] = {
    "a desk never overcommits and never refuses what fits": lambda dice: check_day(
        day_of(dice), a_policy(dice)
    ),
    "compiled kernels decide as NumPy does": lambda dice: check_kernels(day_of(dice), "expected-fill"),
    "remembered scores decide as fresh ones do": lambda dice: check_memory(day_of(dice), a_policy(dice)),
    "a desk does not mind names and listing order": with_order,
}
