"""Commands that set up billing: budgets, buyer and seller details, credit limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.cli.accounts import Json
from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.output import done, facts, show_json, show_lines, table
from pearlstreet.cli.profile import client

if TYPE_CHECKING:
    pass

billing = typer.Typer(help="Names and rules on invoices: buyer, seller, credit limit.", no_args_is_help=True)
budgets = typer.Typer(help="Monthly budgets with alerts: list, set.", no_args_is_help=True)
PARTY = ("name", "tax_id", "address", "phone", "bank", "bank_account")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(billing, name="billing")
    app.add_typer(budgets, name="budgets")


@billing.command("buyer")
def buyer(
    name: Annotated[str | None, typer.Option(help="Name on the invoice")] = None,
    tax_id: Annotated[str | None, typer.Option(help="Taxpayer number (18 characters)")] = None,
    address: Annotated[str | None, typer.Option(help="Address")] = None,
    phone: Annotated[str | None, typer.Option(help="Telephone")] = None,
    bank: Annotated[str | None, typer.Option(help="Bank")] = None,
    bank_account: Annotated[str | None, typer.Option(help="Account number")] = None,
    org: Org = None,
    as_json: Json = False,
) -> None:
    """Show how an organisation is named on its invoices; with options, change it."""
    given = (name, tax_id, address, phone, bank, bank_account)
    where = org_of(org)
    with client() as center:
        found = center.invoices.buyer(where)
        if any(value is not None for value in given):
            changed = {key: value for key, value in zip(PARTY, given, strict=True) if value is not None}
            found = center.invoices.set_buyer(where, found | changed)
    _show(found, as_json)


@billing.command("seller")
def seller(
    name: Annotated[str | None, typer.Option(help="Name of the center's operator")] = None,
    tax_id: Annotated[str | None, typer.Option(help="Taxpayer number (18 characters)")] = None,
    address: Annotated[str | None, typer.Option(help="Address")] = None,
    phone: Annotated[str | None, typer.Option(help="Telephone")] = None,
    bank: Annotated[str | None, typer.Option(help="Bank")] = None,
    bank_account: Annotated[str | None, typer.Option(help="Account number")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Whose months are billed, e.g. Asia/Shanghai")] = None,
    tax_rate_bp: Annotated[int | None, typer.Option(help="Tax in basis points: 600 is 6 %")] = None,
    approval_above: Annotated[
        str | None, typer.Option(help="Top-ups above this need a second person")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the center as a seller and its rules of money; with options, change them (operators)."""
    given = (name, tax_id, address, phone, bank, bank_account)
    rules = {"time_zone": time_zone, "tax_rate_bp": tax_rate_bp, "approval_above": approval_above}
    with client() as center:
        found = center.invoices.seller()
        changed: dict[str, object] = {key: value for key, value in rules.items() if value is not None}
        party = {key: value for key, value in zip(PARTY, given, strict=True) if value is not None}
        if party:
            changed["seller"] = found["seller"] | party
        if changed:
            found = center.invoices.set_seller(found | changed)
    if as_json:
        show_json(found)
        return
    _show(found["seller"], as_json=False)
    facts(
        {
            "Time zone": found["time_zone"],
            "Tax": f"{found['tax_rate_bp'] / 100:g} %",
            "Second person above": found["approval_above"],
            "Invoice numbers begin": found["invoice_prefix"],
        }
    )


def _show(party: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        show_json(party)
        return
    labels = ("Name", "Taxpayer number", "Address", "Telephone", "Bank", "Account number")
    facts({label: party[key] or "-" for label, key in zip(labels, PARTY, strict=True)})


@billing.command("credit-limit")
def credit_limit(
    yuan: Annotated[str, typer.Argument(help="How far below zero it may go; 0: prepaid")], org: Org = None
) -> None:
    """Set how far below zero an organisation may go (operators)."""
    with client() as center:
        found = center.credit.set_limit(org_of(org), yuan)
    done(
        "The credit limit is {limit} yuan; {available} yuan are available",
        limit=found["credit_limit"],
        available=found["available"],
    )


@budgets.command("list")
def list_budgets(org: Org = None, as_json: Json = False) -> None:
    """List budgets of an organisation and its projects."""
    with client() as center:
        rows = center.budgets.list(org_of(org))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Of", "Yuan per month", "Alerts at %"),
        [(r["owner"], r["monthly"], ", ".join(map(str, r["thresholds"]))) for r in rows],
        right=(1,),
    )


@budgets.command("set")
def set_budget(
    monthly: Annotated[str, typer.Argument(help="Yuan per month")],
    project: Annotated[str | None, typer.Option(help="Only this project")] = None,
    alert: Annotated[list[int] | None, typer.Option(help="Alert at this share in percent")] = None,
    org: Org = None,
) -> None:
    """Set a monthly budget. It warns; it stops nothing."""
    with client() as center:
        center.budgets.set(org_of(org), monthly, project=project, thresholds=alert or None)
    done("The budget is {monthly} yuan per month", monthly=monthly)
