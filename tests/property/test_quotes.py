"""Offers, whatever the estimates, prices and starts are: few, none beaten, and the best named as such."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.quotes.quoting import NOW_US, no_facts, terms

from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.estimators import energy_kwh
from pearlstreet.quotes.candidates import Candidate
from pearlstreet.quotes.estimating import Work
from pearlstreet.quotes.model import Offer, Start
from pearlstreet.quotes.offers import MOST, beats, front, make_offers
from pearlstreet.workload.spec.model import JobSpec

MODELS = ("h100-sxm-80g", "ascend-910b1", "a100-sxm-80g")


@st.composite
def ways(draw: st.DrawFn) -> list[tuple[Candidate, Work]]:
    """Candidates with any estimate."""
    found: list[tuple[Candidate, Work]] = []
    for _ in range(draw(st.integers(1, 24))):
        candidate = Candidate(
            draw(st.sampled_from(MODELS)),
            draw(st.sampled_from((1, 2, 4))),
            draw(st.sampled_from((1, 8))),
            8,
            draw(st.booleans()) if len(found) > 3 else True,
            16.0,
            128.0,
            draw(st.sampled_from((0.1, 0.5, None))),
        )
        median = draw(st.sampled_from((60.0, 3600.0, 3601.0, 86_400.0, 5e6)))
        elapsed_s = Band(median / 1.2, median, median * 1.2)
        device_s = elapsed_s.times(candidate.count)
        work = Work(
            elapsed_s, device_s, energy_kwh(device_s, 400.0), {}, None, 80.0, None, None, (), (), device_s.median
        )  # fmt: skip
        found.append((candidate, work))
    return found


waits = st.dictionaries(st.sampled_from(MODELS), st.sampled_from((None, 0, 3600)))


def made(found: list[tuple[Candidate, Work]], waiting: dict[str, int | None]) -> tuple[Offer, ...]:
    def start_of(spec: JobSpec, elapsed_s: Band) -> Start:
        wait_s = waiting.get(spec.per_task.accelerator[0], 0)
        if wait_s is None:
            return Start("unknown", position=3)
        at_us = NOW_US + wait_s * 1_000_000
        return Start("limits", NOW_US, at_us, at_us)

    return make_offers(found, terms(start_of=start_of, footprint=no_facts))


@given(ways(), waits)
def test_few_and_none_is_beaten_by_another(
    found: list[tuple[Candidate, Work]], waiting: dict[str, int | None]
) -> None:
    offers = made(found, waiting)
    assert 1 <= len(offers) <= MOST
    assert not any(beats(one, other) for one in offers for other in offers)
    assert len({one.id for one in offers}) == len(offers)


@given(ways(), waits)
def test_the_cheapest_and_fastest_of_all_are_among_them_and_named(
    found: list[tuple[Candidate, Work]], waiting: dict[str, int | None]
) -> None:
    offers = made(found, waiting)
    fitting = [pair for pair in found if pair[0].owned and pair[1].elapsed_s.p90 * 1.25 < 30 * 86_400]
    if len(fitting) < len(found):
        return  # what is hypothetical or too long stands apart
    fastest = next(one for one in offers if "fastest" in one.names)
    assert fastest.elapsed_s.median == min(work.elapsed_s.median for _, work in found)
    for name in ("cheapest", "fastest"):
        assert sum(name in one.names for one in offers) == 1


@given(ways())
def test_the_front_of_offers_is_all_of_them_in_whatever_order(found: list[tuple[Candidate, Work]]) -> None:
    offers = list(made(found, {}))
    for ordered in (offers, offers[::-1]):
        assert {one.id for one in front(ordered)} == {one.id for one in offers}


@given(ways())
def test_hypothetical_hardware_is_never_left_out_for_another(found: list[tuple[Candidate, Work]]) -> None:
    asked = [(replace(candidate, owned=False), work) for candidate, work in found[:MOST]]
    assert len(made(asked, {})) == len(asked)
