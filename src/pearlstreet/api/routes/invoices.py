"""Routes of invoices, of their buyers and sellers, and of the center's billing settings."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.energy_use import EnergyUseOut, energy_out
from pearlstreet.api.models import In, Out, Time, Yuan, read_yuan, time_of, yuan_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import language_of
from pearlstreet.api.routes.credit import org_id_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, center_of, command, encode, in_thread, query
from pearlstreet.base.errors import NotFound
from pearlstreet.base.money import Money, format_yuan
from pearlstreet.base.text import text
from pearlstreet.energy import invoices as energy_invoices
from pearlstreet.ledger import site as billing
from pearlstreet.ledger.invoices import service
from pearlstreet.ledger.invoices.model import Invoice, InvoiceLine, decimal_text
from pearlstreet.ledger.invoices.plain import to_plain
from pearlstreet.ledger.model import Party, Site
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/orgs/{org}", "invoices")
center_router = SecuredRouter("/billing", "invoices")


class PartyIn(In):
    """A buyer or seller on invoices."""

    name: str = Field("", max_length=400)
    tax_id: str = Field("", max_length=40)
    address: str = Field("", max_length=400)
    phone: str = Field("", max_length=400)
    bank: str = Field("", max_length=400)
    bank_account: str = Field("", max_length=400)


class InvoiceLineOut(Out):
    """One resource at one price."""

    resource: str
    label: str
    kind: str
    is_refund: bool
    quantity: str
    quantity_exact: str
    unit: str
    unit_price: Yuan
    per: int
    amount: Yuan


class InvoiceOut(Out):
    """An invoice; a draft has neither id nor number. `total` = `net` + `tax` exactly."""

    id: str | None
    number: str | None
    org: str
    """Name (slug) of the organisation."""
    org_id: str
    month: str
    time_zone: str
    start: Time
    end: Time
    issued: Time | None
    currency: str
    seller: PartyIn
    buyer: PartyIn
    tax_rate_percent: str
    lines: list[InvoiceLineOut]
    used: Yuan
    carried_in: Yuan
    carried_out: Yuan
    net: Yuan
    tax: Yuan
    total: Yuan
    energy: EnergyUseOut | None


class InvoiceFormat(StrEnum):
    """Format of an invoice."""

    JSON = "json"
    PDF = "pdf"
    TEXT = "text"


def invoice_out(found: Invoice, language: str) -> dict[str, object]:
    """Return an invoice as an InvoiceOut."""
    return {
        "id": found.id,
        "number": found.number,
        "org": found.org,
        "org_id": found.org_id,
        "month": found.month,
        "time_zone": found.zone,
        "start": time_of(found.start_us),
        "end": time_of(found.end_us),
        "issued": time_of(found.issued_us),
        "currency": "CNY",
        "seller": asdict(found.seller),
        "buyer": asdict(found.buyer),
        "tax_rate_percent": format_yuan(found.tax_rate_bp * 10_000, decimals=0),
        "lines": [_line(line, language) for line in found.lines],
        "used": yuan_of(found.used),
        "carried_in": yuan_of(found.carried_in),
        "carried_out": yuan_of(found.carried_out),
        "net": yuan_of(found.net),
        "tax": yuan_of(found.tax),
        "total": yuan_of(found.total),
        "energy": energy_out(found.energy, language),
    }


def _line(line: InvoiceLine, language: str) -> dict[str, object]:
    return {
        "resource": line.resource,
        "label": line.label.render(language),
        "kind": line.kind,
        "is_refund": line.is_refund,
        "quantity": decimal_text(line.quantity).replace(",", ""),
        "quantity_exact": str(line.quantity),
        "unit": line.unit.render(language),
        "unit_price": yuan_of(Money(line.price_micro)),
        "per": line.per,
        "amount": yuan_of(line.amount),
    }


@router.get("/invoices", scope="credit:read", responses={200: {"model": Page[InvoiceOut]}})
async def list_invoices(
    request: Request, org: str, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List issued invoices, latest month first."""
    store, language, before = center_of(request).store, language_of(request), read_cursor(cursor)
    return await query(
        lambda: service.list_invoices(
            store,
            actor,
            org_id_of(store, actor, org, "credit:read"),
            before_month=before,
            limit=limit + 1,
        ),
        lambda rows: page(rows, limit, lambda row: row.month, lambda row: invoice_out(row, language)),
    )


@router.get(
    "/invoices/{month}",
    scope="credit:read",
    responses={200: {"model": InvoiceOut, "content": {"application/pdf": {}, "text/plain": {}}}},
)
async def get_invoice(
    request: Request,
    org: str,
    month: str,
    actor: Actor = CurrentActor,
    form: Annotated[InvoiceFormat, Query(alias="format")] = InvoiceFormat.JSON,
    draft: Annotated[
        bool, Query(description="Return the current draft if the invoice is not issued yet")
    ] = False,
) -> Response:
    """Get the invoice of a month (2026-11) as JSON, PDF or text."""
    store, language = center_of(request).store, language_of(request)

    def work() -> Response:
        found = energy_invoices.draft_invoice(
            store, actor, org_id_of(store, actor, org, "credit:read"), month
        )
        if found.number is None and not draft:
            raise NotFound(
                text("The invoice of {month} is not issued yet", month=month),
                hint=text("Add draft=true to see the draft, or use pearl invoice {month}", month=month),
            )
        return _answer(found, form, language)

    return await in_thread(work)


def _answer(found: Invoice, form: InvoiceFormat, language: str) -> Response:
    if form is InvoiceFormat.TEXT:
        return Response(to_plain(found, language), media_type="text/plain; charset=utf-8")
    if form is InvoiceFormat.PDF:
        from pearlstreet.ledger.invoices.pdf import to_pdf  # imported here: reportlab loads slowly

        name = found.number or f"draft-{found.month}"
        headers = {"content-disposition": f'attachment; filename="{name}.pdf"'}
        return Response(to_pdf(found, language), media_type="application/pdf", headers=headers)
    return Response(encode(invoice_out(found, language)), media_type="application/json")


@router.post(
    "/invoices/{month}",
    scope="credit:write",
    location="/orgs/{org}/invoices/{month}",
    status_code=201,
    responses={201: {"model": InvoiceOut}},
)
async def issue_invoice(request: Request, org: str, month: str, actor: Actor = CurrentActor) -> Response:
    """Issue the invoice of a past month. Repeating it returns the same invoice."""
    language = language_of(request)
    return await command(
        request,
        actor,
        lambda s: energy_invoices.issue_invoice(s, actor, org_id_of(s, actor, org, "credit:write"), month),
        lambda found: invoice_out(found, language),
        status=201,
    )


@router.get("/billing", scope="credit:read", responses={200: {"model": PartyIn}})
async def get_buyer(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """Get the buyer on the organisation's invoices."""
    store = center_of(request).store
    return await query(
        lambda: billing.get_buyer(store, actor, org_id_of(store, actor, org, "credit:read")), asdict
    )


@router.put("/billing", scope="orgs:write", responses={200: {"model": PartyIn}})
async def set_buyer(request: Request, org: str, body: PartyIn, actor: Actor = CurrentActor) -> Response:
    """Set the buyer on the organisation's future invoices."""
    party = Party(**body.model_dump())
    return await command(
        request,
        actor,
        lambda s: billing.set_buyer(s, actor, org_id_of(s, actor, org, "orgs:write"), party),
        asdict,
    )


class BillingIn(In):
    """Billing settings of the center: seller, time zone, tax rate, approval limit and invoice prefix."""

    seller: PartyIn = Field(default_factory=lambda: PartyIn.model_validate({}))
    time_zone: str = Field("Asia/Shanghai", max_length=80)
    tax_rate_bp: int = Field(600, description="Basis points: 600 is 6 %")
    approval_above: Yuan = Field("10000.00", max_length=40)
    invoice_prefix: str = Field("PS", max_length=8)


def _site(site: Site) -> dict[str, object]:
    return {
        "seller": asdict(site.seller),
        "time_zone": site.time_zone,
        "tax_rate_bp": site.tax_rate_bp,
        "approval_above": yuan_of(site.approval_above),
        "invoice_prefix": site.invoice_prefix,
    }


@center_router.get("", scope="settings:read", responses={200: {"model": BillingIn}})
async def get_billing_settings(request: Request, actor: Actor = CurrentActor) -> Response:
    """Get the billing settings of the center."""
    actor.require("settings:read")
    store = center_of(request).store
    return await query(lambda: store.read(billing.read_site), _site)


@center_router.put("", scope="settings:write", responses={200: {"model": BillingIn}})
async def set_billing_settings(request: Request, body: BillingIn, actor: Actor = CurrentActor) -> Response:
    """Set the billing settings of the center. A new time zone applies from the next price list on."""
    site = Site(
        seller=Party(**body.seller.model_dump()),
        time_zone=body.time_zone,
        tax_rate_bp=body.tax_rate_bp,
        approval_above=read_yuan(body.approval_above, "approval_above"),
        invoice_prefix=body.invoice_prefix,
    )
    return await command(request, actor, lambda s: billing.set_site(s, actor, site), _site)
