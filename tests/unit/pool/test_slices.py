"""Shares of devices: never over, exact both ways, in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import BugError, Conflict
from pearlstreet.compute.pool.slices import (
    FULL_BP,
    NOTHING,
    Share,
    ShareRequest,
    card_bp,
    device_total,
    free_space,
    share_request,
)

TOTAL = device_total(80)
shares = st.builds(Share, st.integers(0, 90_000), st.integers(0, 12_000))


@given(st.lists(shares, max_size=12))
def test_what_is_given_and_what_is_free_always_make_the_device(wanted: list[Share]) -> None:
    space, given_out = free_space(TOTAL), NOTHING
    for share in wanted:
        try:
            space = space.allocate(share)
        except Conflict:
            assert not share.within(space.free)
            continue
        given_out += share
    assert given_out + space.free == TOTAL
    assert given_out.within(TOTAL)


@given(st.lists(shares, max_size=8), st.randoms())
def test_release_in_any_order_restores_the_device(wanted: list[Share], random: object) -> None:
    space, held = free_space(TOTAL), []
    for share in wanted:
        if share.within(space.free):
            space = space.allocate(share)
            held.append(share)
    random.shuffle(held)  # type: ignore[attr-defined]
    for share in held:
        space = space.release(share)
    assert space == free_space(TOTAL)
    assert space.untouched


@given(st.lists(shares, max_size=6), st.randoms())
def test_the_order_of_allocations_does_not_matter(wanted: list[Share], random: object) -> None:
    fitting, space = [], free_space(TOTAL)
    for share in wanted:
        if share.within(space.free):
            space = space.allocate(share)
            fitting.append(share)
    random.shuffle(fitting)  # type: ignore[attr-defined]
    other = free_space(TOTAL)
    for share in fitting:
        other = other.allocate(share)
    assert other == space


def test_a_whole_device_is_its_full_share_and_nothing_else() -> None:
    assert free_space(TOTAL).allocate_whole() == free_space(TOTAL).allocate(TOTAL)
    with pytest.raises(Conflict):
        free_space(TOTAL).allocate(Share(1, 0)).allocate_whole()
    with pytest.raises(BugError):
        free_space(TOTAL).release(Share(1, 0))


@given(st.integers(1, 64), st.integers(1, 200_000))
def test_n_nth_parts_always_fit(parts: int, memory_mib: int) -> None:
    total = Share(memory_mib, FULL_BP)
    space = free_space(total)
    share = ShareRequest(compute_bp=FULL_BP // parts).on(total)
    for _ in range(parts):
        space = space.allocate(share)
    by_memory = ShareRequest(memory_mib=memory_mib // parts).on(total)
    assert by_memory.compute_bp * parts <= FULL_BP


def test_a_fraction_reads_as_people_write_it() -> None:
    assert share_request(20, None).on(TOTAL) == Share(20 * 1024, 2500)
    assert share_request(None, 25).on(TOTAL) == Share(20 * 1024, 2500)
    assert share_request(10, 50).on(TOTAL) == Share(10 * 1024, 5000)
    assert card_bp(Share(10 * 1024, 5000), TOTAL) == 5000
    assert card_bp(Share(60 * 1024, 5000), TOTAL) == 7500
    assert card_bp(TOTAL, TOTAL) == FULL_BP
