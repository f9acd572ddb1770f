"""Energy of what the books bill, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from tests.store.ledger.books import (
    CLERK,
    MEMBER,
    NOON,
    ORG,
    STRANGER,
    at,
    cpu_span,
    opened,
    pay,
    price_id,
    shanghai_us,
)
from tests.unit.energy.site import BANDS, ORIGIN

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.energy.books import statement_energy
from pearlstreet.energy.invoices import draft_invoice, issue_invoice
from pearlstreet.energy.model import (
    Carbon,
    Constant,
    CorePower,
    Days,
    FactsWish,
    Flat,
    Period,
    Pue,
    Tariff,
)
from pearlstreet.energy.service import set_facts
from pearlstreet.energy.tables import energy_measured
from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.ledger.invoices.page import page
from pearlstreet.ledger.invoices.plain import to_plain
from pearlstreet.ledger.invoices.service import get_invoice
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.refunds import refund_attempt
from pearlstreet.ledger.spans import append_span
from pearlstreet.ledger.statement import statement
from pearlstreet.store.core import Store

HOUR = 3_600_000_000
MONTH = "2026-11"
OVER = shanghai_us(2026, 12, 1)
MODEL = "h100-sxm-80g"
RATED_KW = 0.7 * 1.22
"""An H100's 700 W, times what a node draws for each watt of it."""
FACTS = FactsWish(
    Pue(12_500, ORIGIN),
    Tariff(Flat(800_000), ORIGIN),
    Carbon(Constant(500_000), ORIGIN),
    valid_from_us=NOON - 90 * 24 * HOUR,
)


def card_span(
    store: Store,
    sequence: int = 0,
    *,
    attempt: str = "att_g",
    cards: int = 1,
    start: int = NOON,
    hours: float = 1.0,
) -> Span:
    """An hour of cards."""
    return Span(
        source="compute",
        external_id=attempt,
        resource=f"accelerator/{MODEL}",
        sequence=sequence,
        org_id=ORG,
        project_id="prj_a",
        reference="job_1",
        start_us=start,
        end_us=start + int(hours * HOUR),
        unit=Unit.CARD_BP,
        amount=10_000 * cards,
        price_version_id=price_id(store),
        pflops=0.9,
        pflops_basis="assumed",
    )


def used(store: Store, *found: Span) -> Store:
    """A store in which so much was used and charged."""
    store.write(lambda tx: [append_span(tx, span) for span in found])
    while post_due_spans(store):
        pass
    return store


@pytest.fixture
def books(store: Store) -> Store:
    ours = opened(store)
    pay(ours, "1000")
    return ours


def draft(store: Store, month: str = MONTH) -> Invoice:
    """The draft with energy."""
    return draft_invoice(store, MEMBER, ORG, month)


def test_an_invoice_shows_machines_facility_carbon_and_cost_apart(books: Store) -> None:
    set_facts(books, CLERK, FACTS)
    energy = draft(used(books, card_span(books, cards=8, hours=10))).energy
    assert energy is not None
    assert energy.it_kwh == pytest.approx(80 * RATED_KW)
    assert energy.facility_kwh == pytest.approx(80 * RATED_KW * 1.25), "PUE once"
    assert energy.carbon_kg == pytest.approx(80 * RATED_KW * 1.25 * 0.5)
    assert energy.cost is not None
    assert energy.cost.micro == pytest.approx(80 * RATED_KW * 1.25 * 800_000, abs=1)
    assert energy.it_kwh_low == pytest.approx(80 * 0.7 * 1.02)
    assert energy.it_kwh_high == pytest.approx(80 * 0.7 * 1.26)
    assert energy.facts == (1,)


def test_an_invoice_knows_the_holidays_of_the_tariff(books: Store) -> None:
    there = datetime.fromtimestamp(NOON / 1e6, ZoneInfo(BANDS.zone)).date()
    rest = Period("rest", 100_000, days=Days.HOLIDAYS)
    tariff = replace(BANDS, periods=(*BANDS.periods, rest), holidays=(there,))
    set_facts(books, CLERK, replace(FACTS, tariff=Tariff(tariff, ORIGIN)))
    day = card_span(books, hours=1)
    next_day = card_span(books, attempt="att_h", start=NOON + 24 * HOUR, hours=1)
    energy = draft(used(books, day, next_day)).energy
    assert energy is not None
    assert energy.cost is not None
    assert energy.cost.micro == pytest.approx(RATED_KW * 1.25 * (100_000 + 700_000), abs=2)


def test_the_cores_of_a_node_with_accelerators_are_not_counted_twice(books: Store) -> None:
    set_facts(
        books,
        CLERK,
        FactsWish(Pue(10_000, ORIGIN), core=CorePower(10_000, ORIGIN), valid_from_us=NOON - HOUR),
    )
    with_cores = cpu_span(books, 0, external_id="att_g", end_us=NOON + HOUR)
    energy = draft(used(books, card_span(books), with_cores)).energy
    assert energy is not None and energy.it_kwh == pytest.approx(RATED_KW)


def test_work_on_cores_alone_counts_only_where_the_site_says_what_a_core_draws(books: Store) -> None:
    used(books, cpu_span(books, 0, end_us=NOON + HOUR))
    silent = draft(books).energy
    assert silent is not None
    assert silent.it_kwh is None
    assert any("power of a core is not stated" in str(note) for note in silent.notes)
    assert any("has not stated PUE" in str(note) for note in silent.notes)
    set_facts(
        books, CLERK, FactsWish(Pue(10_000, ORIGIN), core=CorePower(8_000, ORIGIN), valid_from_us=NOON - HOUR)
    )
    said = draft(books).energy
    assert said is not None and said.it_kwh == pytest.approx(0.08), "ten cores of 8 W for an hour"


def test_without_facts_an_invoice_says_so_plainly(books: Store) -> None:
    found = draft(used(books, card_span(books)))
    assert found.energy is not None
    assert found.energy.it_kwh == pytest.approx(RATED_KW)
    assert (found.energy.facility_kwh, found.energy.carbon_kg, found.energy.cost) == (None, None, None)
    words = to_plain(found, "en")
    assert "The center has not stated PUE, tariff and carbon factor of its site" in words
    assert "not known" in words
    assert "中心未公布" in to_plain(found, "zh-CN")


def test_an_issued_invoice_keeps_its_figures(books: Store) -> None:
    set_facts(books, CLERK, FACTS)
    used(books, card_span(books))
    over = at(books, OVER)
    made = issue_invoice(over, CLERK, ORG, MONTH)
    set_facts(over, CLERK, FactsWish(Pue(20_000, ORIGIN), valid_from_us=FACTS.valid_from_us))
    kept = get_invoice(over, MEMBER, str(made.id))
    assert kept.energy == made.energy
    assert kept == made


def test_an_invoice_of_before_shows_nothing_of_energy(books: Store) -> None:
    used(books, card_span(books))
    made = issue_invoice(at(books, OVER), CLERK, ORG, MONTH)
    document = {name: value for name, value in made.to_json().items() if name != "energy"}
    old = Invoice.from_json(document)
    assert old.energy is None
    assert page(old, "en").energy == ()


def test_use_over_midnight_of_a_month_is_cut_where_it_is_billed(books: Store) -> None:
    set_facts(books, CLERK, FACTS)
    start = OVER - 2 * HOUR
    later = at(books, OVER + 2 * HOUR)
    used(later, card_span(books, start=start, hours=3))
    november, december = draft(later).energy, draft(later, "2026-12").energy
    assert november is not None and december is not None
    assert november.it_kwh == pytest.approx(2 * RATED_KW)
    assert december.it_kwh == pytest.approx(RATED_KW)


def test_small_figures_are_told_apart_from_their_labels(books: Store) -> None:
    set_facts(books, CLERK, FACTS)
    used(books, card_span(books, hours=0.0001))
    made = draft(books)
    assert made.energy is not None
    assert "0.000 kWh" not in str(page(made, "en").energy)
    given_back = replace(made.energy, it_kwh=-0.000085, it_kwh_low=-0.000071, it_kwh_high=-0.000088)
    made = replace(made, energy=given_back)
    lines = to_plain(made, "en").splitlines()
    for label, value in page(made, "en").energy:
        assert any(line.startswith(f"{label}  ") and line.endswith(f"  {value}") for line in lines), label


def test_refunded_use_is_taken_off(books: Store) -> None:
    set_facts(books, CLERK, FACTS)
    used(books, card_span(books), card_span(books, attempt="att_lost", hours=5))
    books.write(lambda tx: refund_attempt(tx, "att_lost", text("{x}", x="lost")))
    energy = draft(books).energy
    assert energy is not None and energy.it_kwh == pytest.approx(RATED_KW)


def test_measured_power_stands_in_for_rated(books: Store) -> None:
    used(books, card_span(books))
    row = {"attempt_id": "att_g", "device_j": 500 * 3600, "start_us": NOON, "end_us": NOON + HOUR}
    books.write(lambda tx: tx.execute(sa.insert(energy_measured).values(row)))
    energy = draft(books).energy
    assert energy is not None
    assert energy.it_kwh == pytest.approx(0.5 + 0.7 * 0.22)
    assert any("Measured" in str(note) for note in energy.notes)


def test_hours_of_the_tariff_are_those_of_the_use(books: Store) -> None:
    """NOON is on a Tuesday: from 20:00 two hours of day, then of night."""
    wish = FactsWish(Pue(10_000, ORIGIN), Tariff(BANDS, ORIGIN), valid_from_us=NOON - HOUR)
    set_facts(books, CLERK, wish)
    energy = draft(used(books, card_span(books, start=NOON + 8 * HOUR, hours=4))).energy
    assert energy is not None and energy.cost is not None
    assert energy.cost.micro == pytest.approx(RATED_KW * (2 * 700_000 + 2 * 300_000), abs=1)
    assert energy.carbon_kg is None
    assert any("carbon factor" in str(note) for note in energy.notes)


def test_each_line_of_a_statement_has_its_own(books: Store) -> None:
    set_facts(books, CLERK, FACTS)
    used(books, card_span(books))
    used(books, card_span(books, attempt="att_h", hours=2))
    lines = statement(books, MEMBER, ORG)
    found = statement_energy(books, MEMBER, ORG, lines)
    charged = [line for line in lines if line.detail is not None]
    assert [found[line.seq].it_kwh for line in charged] == [
        pytest.approx(2 * RATED_KW),
        pytest.approx(RATED_KW),
    ]
    assert set(found) == {line.seq for line in charged}
    with pytest.raises(NotFound):
        statement_energy(books, STRANGER, ORG, lines)
