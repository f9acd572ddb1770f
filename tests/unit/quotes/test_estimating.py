"""What a workload takes on one candidate, by kind; and what is wrong with it whatever the hardware."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.unit.quotes.quoting import KNOWN, TUNING, snapshot

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model
from pearlstreet.compute.estimate.learning import Finished, calibrate
from pearlstreet.quotes.candidates import Candidate, candidates
from pearlstreet.quotes.estimating import Past, Unfit, Work, check_workload, estimate
from pearlstreet.quotes.model import Kind, Wanted, Workload

SERVING = Workload(kind=Kind.SERVE, model=Model("Llama 3.1 8B"), requests_per_s=5.0)
CUSTOM = Workload(kind=Kind.CUSTOM, hours=10.0, accelerator="H100-80G", count=8)


def on(model: str, count: int) -> Candidate:
    return next(one for one in candidates(snapshot(), Wanted()) if one.model == model and one.count == count)


def work(asked: Workload, candidate: Candidate, **changes: object) -> Work:
    found = estimate(asked, candidate, replace(KNOWN, **changes))  # type: ignore[arg-type]
    assert isinstance(found, Work), found
    return found


def test_training_has_a_band_a_layout_that_fits_and_energy() -> None:
    found = work(TUNING, on("h100-sxm-80g", 16))
    assert found.elapsed_s.p10 < found.elapsed_s.median < found.elapsed_s.p90
    assert found.device_s.median == pytest.approx(found.elapsed_s.median * 16)
    assert found.memory_gib is not None
    assert found.memory_gib <= found.device_memory_gib
    layout = found.layout
    assert int(layout["tensor"]) * int(layout["pipeline"]) * int(layout["data"]) == 16
    assert found.it_kwh.median > 0


def test_what_does_not_fit_says_how_much_is_needed() -> None:
    huge = replace(TUNING, model=Model("Llama 3.1 405B"))
    found = estimate(huge, on("h100-sxm-80g", 1), KNOWN)
    assert isinstance(found, Unfit)
    assert "80" in str(found.why)
    assert found.shortfall > 2


def test_what_was_learnt_moves_the_time_but_not_what_teaching_compares_with() -> None:
    slow = calibrate([Finished("h100-sxm-80g", "org/tune", 1000.0, 1500.0)] * 20)
    plain = work(TUNING, on("h100-sxm-80g", 8))
    taught = work(TUNING, on("h100-sxm-80g", 8), learnt=slow, recipe="org/tune")
    assert taught.device_s.median == pytest.approx(plain.device_s.median * 1.5, rel=0.1)
    assert taught.untaught_device_s == pytest.approx(plain.untaught_device_s)
    elsewhere = work(TUNING, on("ascend-910b1", 8), learnt=slow, recipe="org/tune")
    assert elsewhere.device_s.median == pytest.approx(work(TUNING, on("ascend-910b1", 8)).device_s.median)


def test_serving_runs_as_long_as_was_asked_and_carries_the_load() -> None:
    found = work(replace(SERVING, hours=8.0), on("h100-sxm-80g", 1))
    assert (found.elapsed_s.p10, found.elapsed_s.p90) == (8 * 3600, 8 * 3600)
    assert found.serving is not None
    assert found.serving.requests_per_s.median >= 5
    day = work(SERVING, on("h100-sxm-80g", 1))
    assert day.elapsed_s.median == 86_400
    assert any("24 h" in str(words) for words in day.assumed)


def test_a_load_that_is_too_large_is_not_carried() -> None:
    found = estimate(replace(SERVING, requests_per_s=5000.0), on("h100-sxm-80g", 1), KNOWN)
    assert isinstance(found, Unfit)
    assert "5e+03" in str(found.why)


def test_answering_requests_takes_as_long_as_their_tokens() -> None:
    batch = Workload(kind=Kind.INFER, model=Model("Llama 3.1 8B"), requests=1e6)
    one, two = work(batch, on("h100-sxm-80g", 1)), work(batch, on("h100-sxm-80g", 2))
    assert one.elapsed_s.median == pytest.approx(2 * two.elapsed_s.median, rel=0.05)
    twice = work(replace(batch, requests=2e6), on("h100-sxm-80g", 1))
    start_s = one.overhead.total_s.median
    assert twice.elapsed_s.median - start_s == pytest.approx(2 * (one.elapsed_s.median - start_s))


def test_a_short_run_on_many_accelerators_is_not_shorter_than_its_start() -> None:
    """Work of seconds: more accelerators do not make the start faster, and cost more of it."""
    short = replace(TUNING, tokens=3e6)
    few, many = work(short, on("h100-sxm-80g", 8)), work(short, on("h100-sxm-80g", 16))
    for found in (few, many):
        assert found.elapsed_s.median > found.overhead.total_s.median > 20
    assert many.device_s.median > 1.1 * few.device_s.median


def test_an_answer_takes_its_time_however_few_there_are() -> None:
    def takes(requests: float, count: int) -> Band:
        few = Workload(kind=Kind.INFER, model=Model("Llama 3.1 8B"), requests=requests)
        return work(few, on("h100-sxm-80g", count)).elapsed_s

    alone = takes(1, 1)
    assert alone.median > 256 * 1e-3, "256 tokens, one after the other"
    assert alone.p10 < alone.median < alone.p90
    for count in (8, 16):
        assert takes(1, count).median >= 0.5 * alone.median, "it is not spread over more machines"
    waits = [takes(requests, 1).median for requests in (1, 10, 100, 1000, 10_000)]
    assert waits == sorted(waits)
    assert waits[1] < 3 * waits[0], "ten are answered side by side"
    assert waits[-1] > 5 * waits[0]


def test_what_is_no_number_of_anything_must_be_more_than_zero() -> None:
    for asked in (replace(SERVING, hours=0.0), replace(CUSTOM, count=0), replace(TUNING, epochs=-1.0)):
        with pytest.raises(InvalidInput) as refused:
            check_workload(asked, KNOWN.book, ())
        assert "must be greater than zero" in str(refused.value.problems[0].message)


def test_measured_hours_are_taken_as_they_are_on_the_same_hardware() -> None:
    found = work(CUSTOM, on("h100-sxm-80g", 8))
    assert found.elapsed_s.median == pytest.approx(10 * 3600)
    assert found.elapsed_s.p90 / found.elapsed_s.p10 < 1.4
    assert found.warnings == ()


def test_measured_hours_elsewhere_are_scaled_and_the_band_is_wide() -> None:
    same, other = work(CUSTOM, on("h100-sxm-80g", 8)), work(CUSTOM, on("ascend-910b1", 16))
    assert other.device_s.median > 2 * same.device_s.median, "three times slower devices"
    assert other.elapsed_s.p90 / other.elapsed_s.p10 > 2
    assert other.warnings != ()
    half = work(CUSTOM, on("h100-sxm-80g", 16))
    assert 0.5 < half.elapsed_s.median / same.elapsed_s.median < 0.6, (
        "twice as many are not quite twice as fast"
    )


def test_too_little_memory_for_what_was_measured_is_not_offered() -> None:
    assert isinstance(estimate(CUSTOM, on("h100-sxm-80g", 4), KNOWN), Unfit)


def test_own_jobs_are_averaged_and_their_spread_is_in_the_band() -> None:
    asked = Workload(kind=Kind.HISTORY, job_name="tune")
    even = [Past("h100-sxm-80g", 8, 3600.0)] * 4
    uneven = [Past("h100-sxm-80g", 8, seconds) for seconds in (1800.0, 7200.0, 1800.0, 7200.0)]
    calm, wild = (work(asked, on("h100-sxm-80g", 8), past=past) for past in (even, uneven))
    assert calm.elapsed_s.median == pytest.approx(3600)
    assert wild.elapsed_s.median == pytest.approx(3600), "the mean of logarithms"
    assert math.log(wild.elapsed_s.p90 / wild.elapsed_s.p10) > 3 * math.log(
        calm.elapsed_s.p90 / calm.elapsed_s.p10
    )


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        (replace(TUNING, tokens=-5.0), "workload.tokens"),
        (replace(TUNING, tokens=1e30), "workload.tokens"),
        (replace(TUNING, tokens=None), "workload.tokens"),
        (replace(TUNING, tokens=1.0, samples=1.0), "workload.samples"),
        (replace(TUNING, model=Model("Lama 9")), "workload.model.name"),
        (replace(TUNING, model=Model(params=1e9, active=2e9)), "workload.model.active"),
        (replace(TUNING, model=Model(params=float("nan"))), "workload.model.params"),
        (replace(TUNING, model=Model(params=1e19)), "workload.model.params"),
        (replace(TUNING, model=Model(params=1e12, active=1.0)), "workload.model.active"),
        (replace(TUNING, model=Model(layers=2**53, hidden=4096)), "workload.model.layers"),
        (replace(TUNING, sequence=2**53), "workload.sequence"),
        (replace(TUNING, mode="tune", precision="bf61"), "workload.mode workload.precision"),
        (replace(TUNING, epochs=0.0), "workload.epochs"),
        (replace(TUNING, batch_tokens=10.0, sequence=4096), "workload.batch_tokens"),
        (replace(SERVING, requests_per_s=-1.0), "workload.requests_per_s"),
        (replace(SERVING, concurrency=4.0), "workload.concurrency"),
        (replace(SERVING, hours=1e9), "workload.hours"),
        (replace(SERVING, output_tokens=0), "workload.output_tokens"),
        (Workload(kind=Kind.INFER, model=Model("Llama 3.1 8B")), "workload.requests"),
        (replace(CUSTOM, hours=None), "workload.hours"),
        (replace(CUSTOM, count=0), "workload.count"),
        (replace(CUSTOM, accelerator="H1000000"), "workload.accelerator"),
        (Workload(kind=Kind.HISTORY), "workload.job_name"),
        (replace(TUNING, tokens=5e-324), "workload.tokens"),
        (replace(TUNING, epochs=1e-300), "workload.epochs"),
        (replace(TUNING, batch_tokens=1e12), "workload.batch_tokens"),
        (replace(TUNING, batch_tokens=0.5), "workload.batch_tokens"),
        (replace(TUNING, model=Model(params=1e-9)), "workload.model.params"),
        (replace(SERVING, hours=1e-9), "workload.hours"),
        (Workload(kind=Kind.INFER, model=Model("Llama 3.1 8B"), requests=0.01), "workload.requests"),
        (replace(TUNING, requests=5.0, hours=-1.0), "workload.requests workload.hours"),
        (replace(SERVING, tokens=1e9), "workload.tokens"),
        (replace(SERVING, kind=Kind.INFER, requests=5.0), "workload.requests_per_s"),
        (replace(CUSTOM, samples=5.0, concurrency=2.0), "workload.samples workload.concurrency"),
        (replace(CUSTOM, kind=Kind.HISTORY, job_name="x"), "workload.hours workload.accelerator"),
        (Workload(kind=Kind.HISTORY, job_name="never ran"), "workload.job_name"),
    ],
)
def test_what_is_wrong_is_named_by_field(asked: Workload, fields: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_workload(asked, KNOWN.book, ())
    named = [problem.field for problem in refused.value.problems]
    assert set(fields.split()) <= set(named)
    assert len(named) == len(set(named)), "nothing is said twice"


@pytest.mark.parametrize("name", ["Lama 3.1 8B", "llama-3.1-8b-it"])
def test_a_misspelt_model_is_recognised(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_workload(replace(TUNING, model=Model(name)), KNOWN.book, ())
    (problem,) = refused.value.problems
    assert "Llama 3.1 8B" in str(problem.hint)


@pytest.mark.parametrize("asked", [TUNING, SERVING, CUSTOM], ids=lambda one: one.kind.value)
def test_what_is_right_passes(asked: Workload) -> None:
    check_workload(asked, KNOWN.book, ())
