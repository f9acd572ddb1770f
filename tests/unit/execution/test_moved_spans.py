"""Corrected spans cover exactly the accounted time, without gap, and what was not billed stays so."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.text import text
from pearlstreet.compute.execution.reconciliation import moved
from pearlstreet.ledger.model import Span, Unit

SAVING = text("saving")


def _span(resource: str, number: int, start_us: int, end_us: int, *, billable: bool = True) -> Span:
    return Span(
        "compute", "att_1", resource, number, "org_1", "prj_1", "job_1", start_us, end_us, Unit.CPU_MILLI, 500,
        "prices_1", billable=billable, why_not=None if billable else SAVING,
    )  # fmt: skip


def test_what_was_not_billed_keeps_its_time() -> None:
    spans = [_span("cpu", 0, 10, 50), _span("cpu", 1, 50, 60, billable=False)]
    assert [(s.start_us, s.end_us, s.billable) for s in moved(spans, 8, 57)] == [
        (8, 50, True),
        (50, 57, False),
    ]
    assert [(s.start_us, s.end_us, s.billable) for s in moved(spans, 8, 45)] == [(8, 45, True)]


@given(
    cuts=st.lists(st.integers(0, 100), min_size=2, max_size=6, unique=True),
    start_us=st.integers(0, 100),
    length_us=st.integers(0, 100),
)
def test_each_resource_covers_the_accounted_time_without_gap(
    cuts: list[int], start_us: int, length_us: int
) -> None:
    bounds = sorted(cuts)
    spans = [
        _span(resource, number, *bounds[number : number + 2])
        for resource in ("cpu", "memory")
        for number in range(len(bounds) - 1)
    ]
    found = moved(spans, start_us, start_us + length_us)
    for resource in ("cpu", "memory"):
        own = [span for span in found if span.resource == resource]
        assert sum(span.end_us - span.start_us for span in own) == length_us
        assert not own or (own[0].start_us, own[-1].end_us) == (start_us, start_us + length_us)
        assert all(left.end_us == right.start_us for left, right in pairwise(own))
