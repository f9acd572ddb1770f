"""Offers: a handful, none beaten by another, each a whole job at the price of what it holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from tests.unit.quotes.quoting import NOW_US, PRICES, TUNING, estimated, no_facts, offers, snapshot, terms

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model
from pearlstreet.compute.jobs.resource_request import ask_of, most_expensive_hour
from pearlstreet.quotes.candidates import candidates
from pearlstreet.quotes.estimating import Unfit
from pearlstreet.quotes.model import NAMES, Energy, Kind, Question, Start, Wanted, Workload
from pearlstreet.quotes.offers import MOST, MOST_PLANNED, beats, make_offers, refuse_nothing
from pearlstreet.quotes.serialization import (
    offer_from_json,
    offer_json,
    question_from_json,
    question_json,
    workload_from_json,
    workload_json,
)
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_stored

DAY_S = 86_400.0


def test_a_handful_fastest_first_and_none_beats_another() -> None:
    found = offers()
    assert 2 <= len(found) <= MOST
    assert [one.id for one in found] == [str(number + 1) for number in range(len(found))]
    assert [one.elapsed_s.median for one in found] == sorted(one.elapsed_s.median for one in found)
    assert not any(beats(one, other) for one in found for other in found)


def test_each_name_is_given_once_to_the_best_of_all_that_was_estimated() -> None:
    whole = estimated(TUNING, Wanted())
    found = make_offers(whole, terms())
    names = Counter(name for one in found for name in one.names)
    assert set(names) == set(NAMES) - {"greenest"}
    assert set(names.values()) == {1}
    fastest = next(one for one in found if "fastest" in one.names)
    assert fastest.elapsed_s.median == pytest.approx(min(work.elapsed_s.median for _, work in whole))


def test_the_price_is_what_the_job_costs_for_its_time() -> None:
    seen = snapshot()
    for offer in offers():
        assert offer.spec is not None
        assert offer.price is not None
        hour = most_expensive_hour(seen, PRICES, ask_of(parse_stored(offer.spec)))
        assert offer.price.hourly == hour
        expected = hour.micro * offer.elapsed_s.median / 3600
        assert offer.price.median.micro == pytest.approx(expected, abs=1)
        assert sum(line.amount.micro for line in offer.price.lines) == pytest.approx(expected, abs=5)
        assert offer.price.p10 < offer.price.median < offer.price.p90


def test_a_long_queue_makes_another_offer_the_soonest() -> None:
    def busy(spec: JobSpec, elapsed_s: Band) -> Start:
        wait_us = int(3 * DAY_S * 1e6) if spec.per_task.accelerator == ("h100-sxm-80g",) else 0
        return Start("limits", NOW_US, NOW_US + wait_us, NOW_US + wait_us)

    found = offers(start_of=busy)
    soonest = next(one for one in found if "soonest" in one.names)
    fastest = next(one for one in found if "fastest" in one.names)
    assert (soonest.accelerator, fastest.accelerator) == ("ascend-910b1", "h100-sxm-80g")


def test_the_planner_is_asked_only_for_the_best() -> None:
    asked = []

    def note(spec: JobSpec, elapsed_s: Band) -> Start:
        asked.append(spec)
        return Start("free", NOW_US, NOW_US, NOW_US)

    offers(start_of=note)
    assert 0 < len(asked) <= MOST_PLANNED


def test_greenest_is_named_where_the_site_states_its_carbon() -> None:
    def facts(it_kwh: Band, start_us: int, elapsed_s: Band) -> Energy:
        return Energy(
            it_kwh,
            it_kwh.times(1.3),
            it_kwh.times(0.6),
            Money(1),
            text("Site facts {versions}", versions="1"),
        )

    found = offers(footprint=facts)
    green = next(one for one in found if "greenest" in one.names)
    least = min(one.energy.carbon_kg.median for one in found if one.energy and one.energy.carbon_kg)
    assert green.energy is not None
    assert green.energy.carbon_kg is not None
    assert green.energy.carbon_kg.median == least
    assert not any("greenest" in one.names for one in offers(footprint=no_facts))


def test_without_a_job_there_is_a_price_and_a_start_but_nothing_to_accept() -> None:
    found = offers(draft=None)
    assert all(one.spec is None and one.price is not None and one.start is not None for one in found)


def test_hypothetical_hardware_has_neither_price_nor_start_and_every_line_of_it_is_answered() -> None:
    found = offers(wanted=Wanted(hypothetical="2x8xB200,4x8xMI300X,1x8xA100-80G"))
    assert {one.accelerator for one in found} == {"b200-sxm-180g", "mi300x", "a100-sxm-80g"}
    assert all(one.price is None and one.start is None and one.spec is None for one in found)


def test_what_runs_longer_than_a_job_may_is_left_out_if_something_shorter_does() -> None:
    long = replace(TUNING, tokens=4e11)
    found = offers(long)
    assert all(one.time_limit_s <= 30 * DAY_S for one in found)
    longer = offers(replace(TUNING, tokens=1e13))
    assert longer
    assert all(one.spec is None for one in longer)
    assert all(any("30 days" in str(words) for words in one.warnings) for one in longer)


def test_serving_is_priced_by_the_tokens_it_carries() -> None:
    asked = Workload(kind=Kind.SERVE, model=Model("Llama 3.1 8B"), requests_per_s=2.0)
    cheapest = next(one for one in offers(asked) if "cheapest" in one.names)
    assert cheapest.served is not None
    assert cheapest.price is not None
    assert cheapest.served.price_per_mtoken is not None
    assert cheapest.served.carried_tokens_per_s == 2.0 * 256
    a_day = cheapest.served.price_per_mtoken.micro * 2.0 * 256 * DAY_S / 1e6
    assert a_day == pytest.approx(cheapest.price.median.micro, rel=1e-4)
    assert cheapest.time_limit_s == DAY_S


def test_no_offer_at_all_says_what_was_nearest() -> None:
    one, two, *_ = candidates(snapshot(), Wanted())
    error = refuse_nothing([(one, Unfit(text("far"), 9.0)), (two, Unfit(text("near"), 1.5))], 2, 0)
    assert isinstance(error, InvalidInput)
    assert "near" in str(error.message)
    assert "quotas" in str(refuse_nothing([], 0, 3).message)
    assert "no accelerator" in str(refuse_nothing([], 0, 0).message)


def test_what_is_kept_reads_back_equal() -> None:
    serving = Workload(kind=Kind.SERVE, model=Model(params=7e9), concurrency=4.0, hours=2.0)
    for offer in (*offers(), *offers(serving), *offers(wanted=Wanted(hypothetical="1x8xB200"))):
        assert offer_from_json(offer_json(offer)) == offer
    for work in (TUNING, serving, Workload(kind=Kind.HISTORY, job_name="x")):
        assert workload_from_json(workload_json(work)) == work
    asked = Question(serving, {"command": "x"}, Wanted(("H100",), 8, 16, ""), "vision")
    assert question_from_json(question_json(asked)) == asked
