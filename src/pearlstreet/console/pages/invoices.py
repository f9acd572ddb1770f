"""Pages of invoices: the list, and one invoice or draft as page, PDF or JSON."""

from __future__ import annotations

import json

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import Download, PageRequest, PageResponse, View
from pearlstreet.console.pages.org_scope import choose_org, org_of
from pearlstreet.energy.invoices import draft_invoice
from pearlstreet.ledger.invoices import service
from pearlstreet.ledger.invoices.page import page
from pearlstreet.ledger.overview import spent_this_month

SHOWN = 60


def show(request: PageRequest) -> PageResponse:
    """Show all issued invoices and the current month's costs."""
    if (choice := choose_org(request)) is not None:
        return choice
    org = org_of(request)
    month, spent = spent_this_month(request.store, request.actor, org.id, org.id)
    return View(
        "billing_invoices.html",
        {
            "org": org,
            "invoices": service.list_invoices(request.store, request.actor, org.id, limit=SHOWN),
            "month": month,
            "spent": spent,
        },
    )


def show_one(request: PageRequest) -> PageResponse:
    """Show a month's invoice, or return it as a file if the query has `as`."""
    if (choice := choose_org(request)) is not None:
        return choice
    org, month = org_of(request), request.path_params["month"]
    found = draft_invoice(request.store, request.actor, org.id, month)
    name = f"{found.number or 'draft-' + found.month}-{org.slug}"
    wanted = request.query.get("as", "")
    if wanted == "json":
        body = json.dumps(found.to_json(), ensure_ascii=False, indent=2).encode()
        return Download(f"{name}.json", body, "application/json")
    if wanted == "pdf":
        from pearlstreet.ledger.invoices.pdf import to_pdf  # imported here: reportlab loads slowly

        return Download(f"{name}.pdf", to_pdf(found, request.language), "application/pdf")
    if wanted:
        raise NotFound(text("There is nothing at {path}", path=f"{request.path}?as={wanted[:20]}"))
    return View(
        "billing_invoice.html",
        {
            "org": org,
            "invoice": found,
            "shown": page(found, request.language),
            "title": found.number or request.say(text("Draft of {month}", month=found.month)),
        },
    )


PAGES = (
    ConsolePage("/billing/invoices", text("Invoices"), show, scope="credit:read"),
    ConsolePage("/billing/invoices/{month}", text("Invoice"), show_one, scope="credit:read"),
)
