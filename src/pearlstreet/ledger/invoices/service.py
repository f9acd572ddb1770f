"""Commands and queries about invoices: drafting, issuing, listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import chunks, post_one
from pearlstreet.ledger.invoices.build import Charged, build
from pearlstreet.ledger.invoices.energy import EnergyOf, stretches
from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.ledger.model import Draft, Entry, TxKind
from pearlstreet.ledger.months import month_at, month_named
from pearlstreet.ledger.posting import post_spans
from pearlstreet.ledger.prices import prices
from pearlstreet.ledger.site import read_buyer, read_site
from pearlstreet.ledger.tables import charges, invoices, streams
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import orgs


def draft_invoice(store: Store, actor: Actor, org_id: str, month: str, *, energy: EnergyOf | None) -> Invoice:
    """Return the invoice of `month` (such as 2026-11): the issued one, or a draft of the charges so far.

    `energy` estimates the energy of the use on it; callers get it from `energy.invoices`. Raises InvalidInput for a
    malformed month, NotFound for a month that has not begun or is before the organisation's first month.
    """
    actor.require("credit:read", org_id)

    def query(tx: Tx) -> Invoice:
        issued = tx.scalar(
            sa.select(invoices.c.document).where(invoices.c.org_id == org_id, invoices.c.month == month)
        )
        if issued:
            return _named(tx, Invoice.from_json(issued))
        _check_begun(tx, month)
        _check_tenant(tx, org_id, month)
        return _draft(tx, org_id, month, energy)[0]

    return store.read(query)


def issue_invoice(store: Store, actor: Actor, org_id: str, month: str, *, energy: EnergyOf | None) -> Invoice:
    """Issue the invoice of a month: assign its number and post its tax. Idempotent: returns the invoice if issued before.

    Later charges to the month go on the next invoice. Raises Conflict before the month's end or when there is nothing to
    invoice, and NotFound like `draft_invoice`.
    """
    actor.require("credit:write")

    def command(tx: Tx) -> Invoice:
        mine = (invoices.c.org_id == org_id) & (invoices.c.month == month)
        issued = tx.scalar(sa.select(invoices.c.document).where(mine))
        if issued is not None:
            return _named(tx, Invoice.from_json(issued))
        return _issue(tx, actor, org_id, month, energy)

    return store.write(command)


def get_invoice(store: Store, actor: Actor, invoice_id: str) -> Invoice:
    """Return an issued invoice by its id or number. Raises NotFound."""
    either = (invoices.c.id == invoice_id) | (invoices.c.number == invoice_id)
    row = store.read(lambda tx: tx.first(sa.select(invoices).where(either)))
    missing = text("No such invoice")
    if row is None:
        raise NotFound(missing)
    actor.require("credit:read", row["org_id"], missing=missing)
    return store.read(lambda tx: _named(tx, Invoice.from_json(row["document"])))


def list_invoices(
    store: Store, actor: Actor, org_id: str, *, before_month: str | None = None, limit: int = 100
) -> Sequence[Invoice]:
    """Return issued invoices of an organisation, latest month first, before `before_month`."""
    actor.require("credit:read", org_id)
    query = sa.select(invoices.c.document).where(invoices.c.org_id == org_id)
    if before_month is not None:
        query = query.where(invoices.c.month < before_month)
    query = query.order_by(invoices.c.month.desc()).limit(limit)

    def read(tx: Tx) -> Sequence[Invoice]:
        return [_named(tx, Invoice.from_json(row["document"])) for row in tx.rows(query)]

    return store.read(read)


def _named(tx: Tx, invoice: Invoice) -> Invoice:
    """Return the invoice with its organisation's name, which documents of older versions lack."""
    if invoice.org:
        return invoice
    slug = tx.scalar(sa.select(orgs.c.slug).where(orgs.c.id == invoice.org_id))
    return replace(invoice, org=slug or "")


def issue_final(tx: Tx, actor: Actor, org_id: str, *, energy: EnergyOf | None) -> Sequence[Invoice]:
    """Issue invoices for all remaining charges of a closing organisation, including those of the current month.

    The caller has checked that no further charges can occur. Idempotent: a second call issues nothing.
    """
    post_spans(tx, org_id=org_id)
    present = month_at(tx.now_us, read_site(tx).time_zone).name
    own = charges.c.org_id == org_id
    issued = set(tx.execute(sa.select(invoices.c.month).where(invoices.c.org_id == org_id)).scalars())
    query = sa.select(charges.c.month).where(own, charges.c.invoice_id.is_(None)).distinct()
    left = set(tx.execute(query).scalars())
    # Late charges to a month with an issued invoice go on the invoice of the current month.
    months = sorted((left - issued) | ({present} - issued if left else set()))
    due = [month for month in months if _draft(tx, org_id, month, None)[1]]
    return [_issue(tx, actor, org_id, month, energy, final=True) for month in due]


def _issue(
    tx: Tx, actor: Actor, org_id: str, month: str, energy: EnergyOf | None, *, final: bool = False
) -> Invoice:
    site = read_site(tx)
    if not final:
        _check_begun(tx, month)
    if not final and month_named(month, site.time_zone).end_us > tx.now_us:
        raise Conflict(
            text("{month} is not over yet", month=month),
            hint=text("A draft can be seen at any time: pearl invoice {month}", month=month),
        )
    post_spans(tx, org_id=org_id)
    if not final:
        _check_tenant(tx, org_id, month)
    draft, charge_ids = _draft(tx, org_id, month, energy)
    if not charge_ids:
        raise Conflict(text("There is nothing to invoice for {month}", month=month))
    serial = (tx.scalar(sa.select(sa.func.max(invoices.c.serial))) or 0) + 1
    invoice = replace(
        draft,
        id=tx.new_id("inv"),
        number=f"{site.invoice_prefix}-{month}-{serial:06d}",
        issued_us=tx.now_us,
    )
    tx.execute(
        sa.insert(invoices).values(
            id=invoice.id,
            number=invoice.number,
            serial=serial,
            org_id=org_id,
            month=month,
            document=invoice.to_json(),
            total_micro=invoice.total.micro,
            carried_out_micro=invoice.carried_out.micro,
            issued_us=tx.now_us,
        )
    )
    for part in chunks(charge_ids):
        tx.execute(sa.update(charges).where(charges.c.id.in_(part)).values(invoice_id=invoice.id))
    _post_tax(tx, actor, invoice)
    audit.record(
        tx,
        actor=actor.label,
        action="invoice.issue",
        target=str(invoice.id),
        org_id=org_id,
        details={"number": invoice.number, "total": str(invoice.total)},
    )
    payload = {"invoice": invoice.id, "number": invoice.number, "month": month, "total": str(invoice.total)}
    outbox.emit(tx, "invoice.issued", payload, org_id=org_id)
    return invoice


def _check_begun(tx: Tx, month: str) -> None:
    """Raise NotFound for a month that has not begun."""
    zone = read_site(tx).time_zone
    present = month_at(tx.now_us, zone)
    if month_named(month, zone).start_us >= present.end_us:
        raise NotFound(
            text("{month} has not begun yet, so it has no invoice", month=month),
            hint=text("See the charges of the current month: pearl invoice {month}", month=present.name),
        )


def _check_tenant(tx: Tx, org_id: str, month: str) -> None:
    """Raise NotFound for a month before both the organisation's creation and its first charge."""
    zone = read_site(tx).time_zone
    org = tx.first(sa.select(orgs.c.slug, orgs.c.created_us).where(orgs.c.id == org_id))
    if org is None or month_named(month, zone).end_us > org["created_us"]:
        return
    created = month_at(org["created_us"], zone).name
    charged = tx.scalar(sa.select(sa.func.min(charges.c.month)).where(charges.c.org_id == org_id))
    first = min(created, charged or created)
    if month < first:
        raise NotFound(
            text(
                "{org} has been a tenant since {first}, so there is no invoice of {month}",
                org=org["slug"],
                first=first,
                month=month,
            )
        )


def _draft(tx: Tx, org_id: str, month: str, energy: EnergyOf | None) -> tuple[Invoice, Sequence[str]]:
    """Return the draft of a month's invoice and the ids of its charges.

    These are the month's charges, and late charges to earlier months that are invoiced already.
    """
    site = read_site(tx)
    wanted = month_named(month, site.time_zone)
    invoiced = sa.select(invoices.c.month).where(invoices.c.org_id == org_id, invoices.c.month < month)
    not_invoiced = sa.and_(
        charges.c.org_id == org_id,
        charges.c.invoice_id.is_(None),
        (charges.c.month == month) | charges.c.month.in_(invoiced),
    )
    query = (
        sa.select(charges, streams.c.resource, streams.c.price_version_id)
        .join_from(charges, streams, charges.c.stream_id == streams.c.id)
        .where(not_invoiced)
        .order_by(charges.c.seq)
    )
    charged, ids = [], []
    for row in tx.rows(query):
        version = prices(tx, row["price_version_id"])
        key = (row["rule_resource"], row["rule_kind"])
        rule = next(rule for rule in version.rules if (rule.resource, rule.kind) == key)
        is_refund = row["refunds_id"] is not None
        charged.append(
            Charged(row["resource"], rule, Fraction(row["quantity"]), Money(row["amount_micro"]), is_refund)
        )
        ids.append(row["id"])
    draft = build(org_id, wanted, site, read_buyer(tx, org_id), charged, _carried(tx, org_id))
    if energy is not None:
        draft = replace(draft, energy=energy(tx, stretches(tx, not_invoiced)))
    return _named(tx, draft), ids


def _carried(tx: Tx, org_id: str) -> Money:
    newest = (
        sa.select(invoices.c.carried_out_micro)
        .where(invoices.c.org_id == org_id)
        .order_by(invoices.c.serial.desc())
        .limit(1)
    )
    return Money(tx.scalar(newest) or 0)


def _post_tax(tx: Tx, actor: Actor, invoice: Invoice) -> None:
    """Post the tax in the invoice, which is owed to the state from its issue on."""
    if not invoice.tax:
        return
    post_one(
        tx,
        Draft(
            TxKind.TAX,
            f"tax/{invoice.id}",
            text("Tax of invoice {number}", number=invoice.number),
            entries=(Entry(chart.TAX_INCLUDED, invoice.tax), Entry(chart.TAX_PAYABLE, -invoice.tax)),
            actor=actor.label,
        ),
    )
