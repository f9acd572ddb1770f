"""Balance, credit, statement, invoices, prices, the proof of the books."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import text
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.energy import amount
from pearlstreet.cli.output import done, facts, show_json, show_lines, table, time_cell, warn, who
from pearlstreet.cli.profile import client
from pearlstreet.client import results

credit = typer.Typer(help="Top-ups: add, list, approve, reject.", no_args_is_help=True)
prices = typer.Typer(help="Price lists: show, publish.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (balance, statement, invoice, proof, books):
        app.command()(command)
    app.add_typer(credit, name="credit")
    app.add_typer(prices, name="prices")


def balance(org: Org = None, as_json: Json = False) -> None:
    """Show what an organisation has and may still use."""
    with client() as center:
        found = center.credit.balance(org_of(org))
    if as_json:
        show_json(found)
        return
    facts(
        {
            "Balance": found["balance"],
            "Held for running jobs": found["held"],
            "Credit limit": found["credit_limit"],
            "Available": found["available"],
        }
    )


def statement(
    org: Org = None,
    since: Annotated[str | None, typer.Option(help="From this time on (RFC 3339)")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (RFC 3339)")] = None,
    limit: Annotated[int, typer.Option(help="How many lines, newest first")] = 40,
    as_json: Json = False,
) -> None:
    """List what was paid in and charged, each line with the balance after it."""
    with client() as center:
        found = center.credit.statement(org_of(org), since=since, until=until, limit=min(limit, 500))
        rows = list(islice(found, limit))
    if as_json:
        show_lines(rows)
        return
    heads: tuple[str, ...] = ("Time (UTC)", "What", "Amount", "Balance")
    cells: list[tuple[object, ...]] = [
        (time_cell(r["at"]), _what(r), r["amount"], r["balance"]) for r in rows
    ]
    if any(row["energy"] for row in rows):
        heads += ("kWh", "kg CO2e")
        cells = [(*cell, *_energy(row["energy"])) for cell, row in zip(cells, rows, strict=True)]
    table(heads, cells, right=(2, 3, 4, 5))


def _what(row: results.StatementLine) -> str:
    use = row["use"]
    if use is None:
        return str(row["memo"])
    return f"{use['resource_label']} {use['quantity']} {use['unit']}, {use['job_id']}"


def _energy(used: results.EnergyUse | None) -> tuple[str, str]:
    """Return energy and carbon as cells: of the facility, where the site's facts are known."""
    found = used or {"facility_kwh": None, "it_kwh": None, "carbon_kg": None}
    kwh = found["it_kwh"] if found["facility_kwh"] is None else found["facility_kwh"]
    return amount(kwh), amount(found["carbon_kg"])


def invoice(
    month: Annotated[str, typer.Argument(help="Month, as 2026-11")],
    org: Org = None,
    issue: Annotated[
        bool, typer.Option("--issue", help="Issue it: it never changes afterwards (operators)")
    ] = False,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write it as PDF")] = None,
    as_json: Json = False,
) -> None:
    """Show a month's invoice: issued, or as a draft of what is charged so far."""
    where = org_of(org)
    with client() as center:
        if issue:
            center.invoices.issue(where, month)
            done("The invoice of {month} is issued", month=month)
        if pdf is not None:
            pdf.write_bytes(center.invoices.file(where, month))
            done("{file} is written", file=str(pdf))
            return
        if as_json:
            show_json(center.invoices.get(where, month))
            return
        words = center.invoices.file(where, month, form="text").decode()
    sys.stdout.write(words.rstrip("\n") + "\n")


def proof(as_json: Json = False) -> None:
    """Recompute every balance from postings and every charge from usage; exit code 1 when anything differs."""
    with client() as center:
        found = center.ledger.proof()
    if as_json:
        show_json(found)
    if found["problem"] is not None:
        raise Conflict(text("The books are not right: {problem}", problem=found["problem"]))
    if not as_json:
        table(("Checked", "Rows"), sorted(found["checked"].items()), right=(1,))
        done("The books are right")


def books(
    file: Annotated[
        Path | None, typer.Option("--to", help="File to write (default: standard output)")
    ] = None,
) -> None:
    """Write the ledger as a beancount journal, which beancount's own checker accepts."""
    with client() as center:
        content = center.ledger.beancount()
    if file is None:
        sys.stdout.buffer.write(content)
        return
    file.write_bytes(content)
    done("{file} is written", file=str(file))


@credit.command("add")
def add_credit(
    amount: Annotated[str, typer.Argument(help="Yuan, such as 1000 or 12.50")],
    org: Org = None,
    memo: Annotated[str, typer.Option(help="What it is for")] = "",
    promotion: Annotated[
        bool, typer.Option("--promotion", help="A gift of the center, not a payment")
    ] = False,
    as_json: Json = False,
) -> None:
    """Credit an organisation; above the center's limit another person must approve."""
    with client() as center:
        made = center.credit.add(org_of(org), amount, memo=memo, promotion=promotion)
    if as_json:
        show_json(made)
        return
    if made["state"] == "pending":
        warn(
            text(
                "{amount} yuan wait for another person's approval: pearl credit approve {id}",
                amount=made["amount"],
                id=made["id"],
            )
        )
    else:
        done("{amount} yuan are credited", amount=made["amount"])


@credit.command("list")
def list_credit(
    org: Org = None,
    pending: Annotated[bool, typer.Option("--pending", help="Of the whole center, those that wait")] = False,
    as_json: Json = False,
) -> None:
    """List top-ups."""
    with client() as center:
        found = center.credit.list_all(state="pending") if pending else center.credit.list(org_of(org))
        rows = list(found)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Top-up", "Yuan", "State", "Asked by", "Decided by", "For"),
        [
            (r["id"], r["amount"], r["state"], who(r["requested_by"]), who(r["decided_by"]), r["memo"])
            for r in rows
        ],
        right=(1,),
    )


@credit.command("approve")
def approve(top_up: Annotated[str, typer.Argument(help="Top-up id", metavar="TOP_UP")]) -> None:
    """Approve another person's top-up."""
    with client() as center:
        made = center.credit.approve(top_up)
    done("{amount} yuan are credited", amount=made["amount"])


@credit.command("reject")
def reject(top_up: Annotated[str, typer.Argument(help="Top-up id", metavar="TOP_UP")]) -> None:
    """Turn a top-up down."""
    with client() as center:
        center.credit.reject(top_up)
    done("{top_up} is rejected", top_up=top_up)


@prices.command("show")
def show_prices(
    as_toml: Annotated[
        bool, typer.Option("--toml", help="As TOML, to change and publish it (pearl prices publish)")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the price list that jobs submitted now are billed by."""
    with client() as center:
        if as_toml:
            sys.stdout.write(center.prices.current_toml())
            return
        now = center.prices.current()
    if as_json:
        show_json(now)
        return
    facts({"Price list": now["number"], "Valid from": time_cell(now["valid_from"]), "Note": now["note"]})
    table(
        ("Resource", "Yuan", "Per"),
        [(rule["resource"], rule["yuan"], _per(rule)) for rule in now["rules"]],
        right=(1,),
    )


def _per(rule: Mapping[str, object]) -> str:
    return str(rule["unit"]) if rule["per"] == 1 else f"{rule['per']} {rule['unit']}"


@prices.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(help="Price list in TOML; pearl prices show --toml writes one")],
    note: Annotated[str, typer.Option(help="What changed")] = "",
    since: Annotated[str | None, typer.Option("--from", help="Valid from (RFC 3339; default: now)")] = None,
    as_json: Json = False,
) -> None:
    """Publish a price list. Jobs submitted before keep theirs."""
    with client() as center:
        made = center.prices.publish_toml(file.read_bytes(), note=note, valid_from=since)
    if as_json:
        show_json(made)
        return
    done(
        "Price list {number} is valid from {time} UTC",
        number=made["number"],
        time=time_cell(made["valid_from"]),
    )
