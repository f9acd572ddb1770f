"""Energy of what jobs really did, on a simulated cluster: while they run, and measured when they ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.jobs import harness
from tests.store.jobs.harness import Center
from tests.unit.energy.site import ORIGIN

from pearlstreet.base.errors import NotFound
from pearlstreet.base.outcome import Outcome, Retry
from pearlstreet.base.text import text
from pearlstreet.energy.invoices import draft_invoice
from pearlstreet.energy.jobs import job_energy
from pearlstreet.energy.measuring import measure_loop
from pearlstreet.energy.model import Carbon, Constant, CorePower, FactsWish, Flat, Pue, Tariff
from pearlstreet.energy.service import set_facts
from pearlstreet.energy.use import Basis
from pearlstreet.ledger.months import month_at
from pearlstreet.tenancy.model import SYSTEM, Actor

NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}
RATED_KW = 8 * 0.7 * 1.22
FACTS = FactsWish(
    Pue(12_000, ORIGIN),
    Tariff(Flat(500_000), ORIGIN),
    Carbon(Constant(600_000), ORIGIN),
    CorePower(10_000, ORIGIN),
    valid_from_us=0,
)


@pytest.fixture(autouse=True)
def _close_databases() -> Iterator[None]:
    yield
    while harness.opened:
        harness.opened.pop().close()


def stated(folder: Path, **options: Any) -> Center:
    """A center with facts. They hold from ten years back at most."""
    center = Center(folder, tick_s=20.0, **options)
    now_us = center.clock.now_us()
    set_facts(
        center.store, SYSTEM, FactsWish(FACTS.pue, FACTS.tariff, FACTS.carbon, FACTS.core, now_us - 10**12)
    )
    return center


def test_a_running_job_counts_up_to_now(tmp_path: Path) -> None:
    center = stated(tmp_path)
    job = center.submit(per_task=NODE, simulate="3000s", time_limit="1h")
    center.run(600)
    found = job_energy(center.store, SYSTEM, job)
    (attempt,) = found.attempts
    hours = (center.clock.now_us() - attempt.start_us) / 3.6e9
    assert attempt.basis is Basis.RATED
    assert found.used.it_kwh == pytest.approx(RATED_KW * hours, rel=1e-6)
    assert found.used.facility_kwh == pytest.approx(1.2 * RATED_KW * hours, rel=1e-6)
    assert found.used.carbon_kg == pytest.approx(0.6 * 1.2 * RATED_KW * hours, rel=1e-6)


def test_what_ended_is_measured_once_and_the_invoice_says_the_same(tmp_path: Path) -> None:
    center = stated(tmp_path)
    loop = measure_loop(center.runtime)
    job = center.submit(per_task=NODE, simulate="600s", time_limit="1h")
    center.finish(job)
    before = job_energy(center.store, SYSTEM, job)
    assert before.attempts[0].basis is Basis.RATED
    while loop.step(center.store):
        pass
    assert not loop.step(center.store), "nothing ended since"
    found = job_energy(center.store, SYSTEM, job)
    assert found.attempts[0].basis is Basis.MEASURED
    assert found.used.it_kwh is not None and before.used.it_kwh is not None
    overhead = 8 * 0.7 * 0.22 * 600 / 3600
    assert overhead < found.used.it_kwh < before.used.it_kwh, "simulated cards draw less than rated"
    center.run(60)
    month = month_at(center.clock.now_us(), "Asia/Shanghai").name
    invoice = draft_invoice(center.store, SYSTEM, center.org.id, month)
    assert invoice.energy is not None
    assert invoice.energy.it_kwh == pytest.approx(found.used.it_kwh, rel=1e-3)
    center.check_books()


class Silent:
    """An engine whose metrics never answer."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Any]:
        """Not now."""
        return Retry(1.0, text("busy"))


def test_an_engine_that_never_answers_leaves_the_figure_rated_and_holds_up_nobody(tmp_path: Path) -> None:
    center = stated(tmp_path, wrap=Silent)
    loop = measure_loop(center.runtime)
    job = center.submit(per_task=NODE, simulate="600s", time_limit="1h")
    center.finish(job)
    for _ in range(20):
        loop.step(center.store)
    assert job_energy(center.store, SYSTEM, job).attempts[0].basis is Basis.RATED
    assert not loop.step(center.store)


def test_an_array_is_the_sum_of_its_elements_and_cores_count_as_stated(tmp_path: Path) -> None:
    center = stated(tmp_path)
    array = center.submit(per_task={"cpus": 4, "memory_gib": 1}, array={"size": 3}, simulate="360s")
    center.finish(array)
    found = job_energy(center.store, SYSTEM, array)
    assert len(found.attempts) == 3
    assert {one.basis for one in found.attempts} == {Basis.CORES}
    ran_h = sum(one.end_us - one.start_us for one in found.attempts) / 3.6e9
    assert found.used.it_kwh == pytest.approx(0.04 * ran_h, abs=1e-6)
    alone = job_energy(center.store, SYSTEM, center.elements(array)[0])
    assert len(alone.attempts) == 1


def test_another_tenants_job_is_not_there(tmp_path: Path) -> None:
    center = stated(tmp_path)
    job = center.submit()
    with pytest.raises(NotFound):
        job_energy(center.store, Actor(label="stranger", user_id="usr_x"), job)
    assert job_energy(center.store, SYSTEM, job).attempts == []
