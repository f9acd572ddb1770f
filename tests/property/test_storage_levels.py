"""However time is cut, the spans of storage come to the same: nothing is billed twice, nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.jobs.storage.retention_rules import shorter
from pearlstreet.storage.levels import mean_level

STRETCHES = st.lists(
    st.tuples(st.integers(0, 1 << 50), st.integers(1, 10**11), st.booleans()), min_size=1, max_size=40
)


@given(STRETCHES)
def test_spans_cut_anywhere_come_to_the_integral_less_what_is_carried(
    stretches: list[tuple[int, int, bool]],
) -> None:
    """(level in bytes, its length in µs, whether a span ends there)."""
    rest, length, billed, whole = 0, 0, 0, 0
    for level, us, ends in stretches:
        rest, length, whole = rest + level * us, length + us, whole + level * us
        if ends:
            mean = mean_level(rest, length)
            billed += mean.stored_bytes * length
            assert 0 <= mean.rest_byte_us < length
            rest, length = mean.rest_byte_us, 0
    assert billed + rest == whole


@given(st.integers(0, 1 << 50), st.lists(st.integers(1, 10**11), min_size=1, max_size=20))
def test_a_constant_level_is_billed_as_it_is_however_long_spans_are(level: int, lengths: list[int]) -> None:
    for us in lengths:
        mean = mean_level(level * us, us)
        assert (mean.stored_bytes, mean.rest_byte_us) == (level, 0)


@given(st.integers(0, 36_500), st.integers(0, 36_500))
def test_the_shorter_time_is_never_longer_than_either(days: int, other: int) -> None:
    found = shorter(days, other)
    assert found in (days, other)
    for one in (days, other):
        assert one == 0 or 0 < found <= one
