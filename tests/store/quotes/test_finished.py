"""What pages ask of quotes beside the API: a question checked without an answer, and how finished quotes turned out."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.estimate.building import Model
from pearlstreet.compute.jobs.service import cancel_job
from pearlstreet.quotes import service
from pearlstreet.quotes.finished import finished_quotes
from pearlstreet.quotes.model import Question, Quote, Wanted, Workload
from pearlstreet.quotes.tables import quotes
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.orgs import create_org
from pearlstreet.tenancy.scopes import OrgRole

TUNING = Workload(model=Model("Llama 3.1 8B"), tokens=2e7, mode="full")
JOB = {"command": ["python", "train.py"], "name": "tune"}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    made = Center(tmp_path, cluster="2x8xH100-80G,1x8xAscend910B", tick_s=1)
    made.step()
    return made


def accepted(center: Center, **job: str) -> tuple[Quote, str]:
    """A quote whose fastest offer is accepted, and its job."""
    center.clock.advance(0.01)  # ids are ordered by their millisecond
    quote = service.ask_quote(center.store, SYSTEM, center.runtime, ORG, Question(TUNING, JOB | job))
    found = service.accept_quote(center.store, SYSTEM, center.runtime, quote.id, "fastest")
    return quote, found.job.id


def test_a_checked_question_keeps_nothing(center: Center) -> None:
    found = service.check_question(center.store, SYSTEM, center.runtime, ORG, Question(TUNING, JOB))
    assert found.ways > 2
    assert len(found.models) == 2
    assert found.can_be_accepted
    plan = service.check_question(center.store, SYSTEM, center.runtime, ORG, Question(TUNING))
    assert not plan.can_be_accepted
    one = Question(TUNING, JOB, Wanted(accelerators=("H100",), count=8))
    assert service.check_question(center.store, SYSTEM, center.runtime, ORG, one).ways == 1
    wrong = Question(Workload(model=Model("no such model"), tokens=-1.0), JOB)
    with pytest.raises(InvalidInput) as caught:
        service.check_question(center.store, SYSTEM, center.runtime, ORG, wrong)
    assert {one.field for one in caught.value.problems} == {"workload.model.name", "workload.tokens"}
    kept = center.store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(quotes)))
    assert kept == 0


def test_only_what_succeeded_at_once_is_shown_and_only_to_its_own(center: Center) -> None:
    good, job = accepted(center, simulate="120s")
    center.finish(job)
    _, unwanted = accepted(center, simulate="1h")
    cancel_job(center.store, SYSTEM, unwanted)
    center.finish(unwanted)
    waiting, _ = accepted(center, simulate="1h")
    (one,) = finished_quotes(center.store, SYSTEM)
    assert (one.quote_id, one.job_id, one.job_name) == (good.id, job, "tune")
    assert one.quote_id != waiting.id
    assert one.actual_s == pytest.approx(120, abs=5)
    offer = service.offer_named(good, "fastest")
    assert (one.quoted_s, one.count, one.accelerator) == (offer.elapsed_s, offer.count, offer.accelerator)
    other = create_org(center.store, SYSTEM, "other")
    stranger = Actor("eve", "usr_eve", orgs={other.id: OrgRole.OWNER})
    viewer = Actor("vic", "usr_vic", orgs={one.org_id: OrgRole.VIEWER})
    assert finished_quotes(center.store, stranger) == []
    assert [seen.quote_id for seen in finished_quotes(center.store, viewer)] == [good.id]
