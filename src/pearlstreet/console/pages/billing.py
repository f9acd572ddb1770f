"""Pages of an organisation's money: balance, costs by project and month, budgets, top-ups and the buyer on invoices."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from markupsafe import Markup

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.base.text import text
from pearlstreet.charts.bars import Bars, bars
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.org_scope import choose_org, org_of
from pearlstreet.console.routing import once
from pearlstreet.ledger import budgets, site
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.model import Party
from pearlstreet.ledger.overview import Spending, spending_by_month
from pearlstreet.ledger.topups import list_top_ups
from pearlstreet.services.jobs import JobsService
from pearlstreet.tenancy.model import Organisation
from pearlstreet.tenancy.orgs import get_project

MONTHS = 6
TOP_UPS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget, the amount spent in the current month, and the highest threshold reached."""

    budget: budgets.Budget
    name: str
    spent: Money
    reached: int


def show(request: PageRequest, jobs: JobsService) -> PageResponse:
    """Show the overview."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    store, actor = request.store, request.actor
    hourly = jobs.hourly_price(actor, org=org.id) if actor.may("jobs:read", org.id) else None
    found = balance(store, actor, org.id)
    spending = spending_by_month(store, actor, org.id, months=MONTHS)
    return View(
        "billing.html",
        {
            "org": org,
            "balance": found,
            "hourly": hourly,
            "hours_left": max(found.available.micro, 0) / hourly if hourly else None,
            "spending": spending,
            "chart": _chart(request, spending),
            "budgets": _budgets(request, org, spending),
            "top_ups": list_top_ups(store, actor, org.id, limit=TOP_UPS_SHOWN),
            "may_write": actor.may("projects:write", org.id),
        },
    )


def set_budget(request: PageRequest) -> PageResponse:
    """Create or replace the budget of the organisation or a project."""
    org = org_of(request)
    project = request.value("project")
    subject = get_project(request.store, request.actor, org.id, project).id if project else org.id
    wanted = budgets.Budget(subject, org.id, yuan_of(request, "monthly"), _thresholds(request))
    budgets.set_budget(once(request), request.actor, wanted)
    return Redirect(request.here, text("The budget is set"))


def delete_budget(request: PageRequest) -> PageResponse:
    """Delete a budget."""
    budgets.delete_budget(request.store, request.actor, org_of(request).id, request.value("subject"))
    return Redirect(request.here, text("The budget is deleted"))


def show_buyer(request: PageRequest) -> PageResponse:
    """Show the buyer on the organisation's invoices."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    return View(
        "billing_buyer.html",
        {
            "org": org,
            "buyer": site.get_buyer(request.store, request.actor, org.id),
            "may_write": request.actor.may("orgs:write", org.id),
        },
    )


def set_buyer(request: PageRequest) -> PageResponse:
    """Set the buyer on the organisation's future invoices."""
    party = Party(**{name: request.value(name) for name in asdict(Party())})
    try:
        site.set_buyer(request.store, request.actor, org_of(request).id, party)
    except InvalidInput as error:
        fields = [Problem(one.field.removeprefix("buyer."), one.message) for one in error.problems]
        raise InvalidInput(error.message, problems=fields) from None
    return Redirect(request.here, text("The billing details are saved"))


def yuan_of(request: PageRequest, field: str) -> Money:
    """Parse an amount in a field of the form. Raises InvalidInput."""
    try:
        return parse_yuan(request.value(field))
    except ValueError:
        message = text(
            "{value} is not an amount of yuan such as 1000 or 12.50", value=request.value(field)[:40]
        )
        raise InvalidInput(message, problems=[Problem(field, message)]) from None


def _thresholds(request: PageRequest) -> tuple[int, ...]:
    written = request.value("thresholds").replace("%", " ").replace(",", " ").replace("，", " ").split()
    if not all(one.isdecimal() and len(one) <= 4 for one in written):
        message = text("Enter percentages such as 50, 80, 100")
        raise InvalidInput(message, problems=[Problem("thresholds", message)])
    return tuple(sorted({int(one) for one in written})) or budgets.THRESHOLDS


def _chart(request: PageRequest, spending: Spending) -> Markup:
    def series(name: str, amounts: list[int]) -> Bars:
        return Bars(name, [micro / 1e6 for micro in amounts])

    parts = [series(one.name, [money.micro for money in one.by_month]) for one in spending.projects]
    together = [sum(one.by_month[i].micro for one in spending.projects) for i in range(len(spending.months))]
    rest = [whole.micro - part for whole, part in zip(spending.whole.by_month, together, strict=True)]
    parts.append(series(request.say(text("outside projects")), rest))
    return bars(
        request.say(text("Yuan by month and project")),
        spending.months,
        parts,
        rest=request.say(text("others")),
        empty=request.say(text("Nothing charged yet.")),
    )


def _budgets(request: PageRequest, org: Organisation, spending: Spending) -> list[BudgetRow]:
    names = {one.subject_id: one.name for one in spending.projects}
    spent = {one.subject_id: one.by_month[-1] for one in (spending.whole, *spending.projects)}
    rows = []
    for one in budgets.list_budgets(request.store, request.actor, org.id):
        so_far = spent.get(one.subject_id, Money(0))
        rows.append(BudgetRow(one, names.get(one.subject_id, ""), so_far, budgets.reached(one, so_far)))
    return sorted(rows, key=lambda row: row.name)


PAGES = (
    ConsolePage(
        "/billing",
        text("Billing"),
        show,
        scope="credit:read",
        actions={"budget": set_budget, "delete_budget": delete_budget},
        menu=MenuPlace(MenuGroup.WORK, 5, "money", "b"),
    ),
    ConsolePage(
        "/billing/buyer", text("Billing details"), show_buyer, scope="credit:read", actions={"set": set_buyer}
    ),
)
