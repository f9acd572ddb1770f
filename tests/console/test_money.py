"""Billing: an organisation's own money and nobody else's, budgets, statement, invoices as files."""

from __future__ import annotations

import json

import pytest

from pearlstreet.base.money import parse_yuan
from pearlstreet.energy.invoices import issue_invoice
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.months import Month, month_at
from pearlstreet.ledger.prices import current_prices
from pearlstreet.ledger.spans import append_span
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import get_project
from tests.console.visitors import Console, words

ZONE = "Asia/Shanghai"
BUDGET = {"monthly": "1,000", "thresholds": "80%, 50", "project": ""}


@pytest.fixture(scope="module")
def last_month(console: Console) -> Month:
    """The month before, in which acme used 10 core-hours and was invoiced for them."""
    store = console.world.center.store
    project = get_project(store, SYSTEM, "acme")

    def use(tx: Tx) -> Month:
        month = month_at(month_at(tx.now_us, ZONE).start_us - 1, ZONE)
        hour = 3600 * 1_000_000
        append_span(
            tx,
            Span(
                source="test", external_id="a", resource="cpu", sequence=0, org_id=project.org_id,
                project_id=project.id, reference="a", start_us=month.start_us + hour,
                end_us=month.start_us + 11 * hour, unit=Unit.CPU_MILLI, amount=1000,
                price_version_id=current_prices(tx).id,
            ),
        )  # fmt: skip
        return month

    month = store.write(use)
    issue_invoice(store, SYSTEM, project.org_id, month.name)
    return month


def test_the_overview_shows_the_own_balance(console: Console) -> None:
    shown = words(console.visitor("viewer").get("/billing"))
    assert "Acme" in shown or "acme" in shown
    assert "9,99" in shown or "10,000.00" in shown
    assert "Set a budget" not in shown, "a viewer looks on"


def test_an_owner_sets_and_deletes_a_budget(console: Console) -> None:
    owner = console.visitor("owner")
    answer = owner.post("/billing", "budget", BUDGET)
    assert answer.status_code == 303, words(answer)
    shown = owner.get("/billing")
    assert "1,000.00" in words(shown) and "50, 80 %" in words(shown)
    org = owner.send("GET", "/billing").text.split('name="subject" value="')[1].split('"')[0]
    assert console.visitor("viewer").post("/billing", "delete_budget", {"subject": org}).status_code == 403
    assert console.visitor("stranger").post("/billing", "delete_budget", {"subject": org}).status_code == 404
    assert "1,000.00" in words(owner.get("/billing"))
    assert owner.post("/billing", "delete_budget", {"subject": org}).status_code == 303
    assert "No budget yet" in words(owner.get("/billing"))


def test_a_wrong_budget_says_what_is_wrong_and_keeps_what_was_typed(console: Console) -> None:
    answer = console.visitor("owner").post("/billing", "budget", {**BUDGET, "monthly": "a lot"})
    assert answer.status_code == 422
    assert "'a lot'" in words(answer) or "a lot is not an amount" in words(answer)
    assert 'value="a lot"' in answer.text and 'value="80%, 50"' in answer.text


def test_another_organisation_cannot_be_chosen(console: Console) -> None:
    shown = words(console.visitor("owner").get("/billing?org=beta"))
    assert "acme" in shown.lower() and "beta" not in shown.lower()


def test_an_operator_chooses_whose_money(console: Console) -> None:
    system = console.visitor("system")
    assert {"acme", "beta"} <= set(words(system.get("/billing")).split())
    assert "Balance" in words(system.get("/billing?org=beta"))
    assert system.get("/billing?org=nobody").status_code == 404


def test_the_statement_can_be_filtered(console: Console, last_month: Month) -> None:
    owner = console.visitor("owner")
    top_up = '<td data-th="Kind">Top-up</td>'
    everything = owner.get("/billing/statement")
    assert top_up in everything.text and "CPU 10 core·h" in words(everything)
    charges = owner.get("/billing/statement?kind=charge").text
    assert top_up not in charges and "core·h" in charges
    assert "No matching entries" in words(owner.get("/billing/statement?to=2020-01-01"))
    wrong = owner.get("/billing/statement?from=soon")
    assert wrong.status_code == 200 and "soon is not a day" in words(wrong)


def test_an_invoice_is_shown_and_given_as_files(console: Console, last_month: Month) -> None:
    viewer = console.visitor("viewer")
    listed = viewer.get("/billing/invoices")
    assert last_month.name in words(listed) and "PS-" in words(listed)
    assert "Total including tax" in words(viewer.get(f"/billing/invoices/{last_month.name}"))
    pdf = viewer.get(f"/billing/invoices/{last_month.name}?as=pdf")
    assert pdf.content.startswith(b"%PDF") and "attachment" in pdf.headers["content-disposition"]
    told = json.loads(viewer.get(f"/billing/invoices/{last_month.name}?as=json").content)
    assert told["month"] == last_month.name and told["total"] > 0


def test_invoices_of_others_are_not_there(console: Console, last_month: Month) -> None:
    stranger = console.visitor("stranger")
    assert "PS-" not in words(stranger.get("/billing/invoices"))
    absent = stranger.get(f"/billing/invoices/{last_month.name}")
    assert absent.status_code == 404 and "beta has been a tenant since" in words(absent)
    assert stranger.get(f"/billing/invoices/{last_month.name}?org=acme").text.count("core·h") == 0


def test_what_is_no_month_is_refused(console: Console) -> None:
    answer = console.visitor("owner").get("/billing/invoices/13-13")
    assert answer.status_code == 422 and "is not a month" in words(answer)


def test_the_buyer_is_named_as_typed_and_escaped(console: Console) -> None:
    owner = console.visitor("owner")
    hostile = '<script>alert("x")</script>'
    wrong = owner.post("/billing/buyer", "set", {"name": hostile, "tax_id": "12"})
    assert wrong.status_code == 422 and hostile not in wrong.text
    assert 'aria-describedby="h-tax_id" aria-invalid="true"' in wrong.text and 'value="12"' in wrong.text
    assert owner.post("/billing/buyer", "set", {"name": hostile}).status_code == 303
    kept = owner.get("/billing/buyer")
    assert hostile not in kept.text and "&lt;script&gt;" in kept.text
    viewer = console.visitor("viewer")
    assert viewer.post("/billing/buyer", "set", {"name": "x"}).status_code == 403
    assert hostile not in viewer.get("/billing/buyer").text


def test_a_pending_top_up_is_told(console: Console) -> None:
    console.world.post("/orgs/beta/credit", "system", json={"amount": "20000.5"})
    assert "waits for approval" in words(console.visitor("stranger").get("/billing"))
    assert str(parse_yuan("20000.5")) not in words(console.visitor("owner").get("/billing"))
