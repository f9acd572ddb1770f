"""Operators' commands on quotas, shares, fair share and the audit log."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import plural, text
from pearlstreet.cli.accounts import Json, Yes
from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.output import confirm, done, show_json, show_lines, table, time_cell, who
from pearlstreet.cli.profile import client

audit = typer.Typer(help="The audit log: search, verify.", no_args_is_help=True)
quotas = typer.Typer(help="Quotas: list, set, delete.", no_args_is_help=True)
shares = typer.Typer(help="Weights in fair share: list, set, delete.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(quotas, name="quotas")
    app.add_typer(shares, name="shares")
    app.command("fair-share")(fair_share)
    app.add_typer(audit, name="audit")


@audit.command("list")
def list_audit(
    actor: Annotated[str | None, typer.Option(help="Who did it")] = None,
    action: Annotated[str | None, typer.Option(help="What was done, e.g. key.create")] = None,
    target: Annotated[str | None, typer.Option(help="What it was done to")] = None,
    org: Annotated[str | None, typer.Option(help="Of this organisation")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first")] = 50,
    as_json: Json = False,
) -> None:
    """Search the audit log, newest first."""
    with client() as center:
        found = center.audit.list(actor=actor, action=action, target=target, org=org, limit=min(limit, 500))
        rows = list(islice(found, limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Number", "Time (UTC)", "Who", "Did", "To", "Details"),
        [
            (
                r["seq"],
                time_cell(r["at"]),
                who(r["actor"]),
                r["action"],
                r["target_name"],
                _details(r["details"]),
            )
            for r in rows
        ],
        right=(0,),
    )


def _details(details: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in details.items() if value is not None)


@audit.command("verify")
def verify(as_json: Json = False) -> None:
    """Walk the whole chain; exit code 1 when a row was changed, dropped or swapped."""
    with client() as center:
        found = center.audit.verify()
    if as_json:
        show_json(found)
    if found["problem"] is not None:
        raise Conflict(text("The audit log was tampered with: {problem}", problem=found["problem"]))
    if not as_json:
        done(
            plural(
                "{count} row is whole; the newest hash is {head}",
                "{count} rows are whole; the newest hash is {head}",
                count=found["rows"],
                head=found["head"][:16],
            )
        )


@quotas.command("list")
def list_quotas(org: Org = None, as_json: Json = False) -> None:
    """List quotas of an organisation, or all that you may see."""
    with client() as center:
        rows = center.quotas.list(org)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Quota", "Resource", "Guaranteed", "Maximum", "Borrows", "Of"),
        [
            (
                r["id"],
                r["resource"],
                r["guaranteed"],
                r["maximum"],
                r["borrow"],
                r["owner"],
            )
            for r in rows
        ],
        right=(2, 3),
    )


@quotas.command("set")
def set_quota(
    resource: Annotated[
        str, typer.Argument(help="pflops, cards, cpus, cards:MODEL, queued_jobs, or storage (GiB)")
    ],
    org: Org = None,
    project: Annotated[str | None, typer.Option(help="Only this project")] = None,
    guaranteed: Annotated[float | None, typer.Option(help="Can always be had")] = None,
    maximum: Annotated[float | None, typer.Option(help="Never more than this")] = None,
    borrow: Annotated[
        bool, typer.Option("--borrow/--no-borrow", help="May use what others leave idle")
    ] = True,
) -> None:
    """Set a quota."""
    with client() as center:
        made = center.quotas.set(
            org_of(org),
            resource,
            project=project,
            guaranteed=guaranteed,
            maximum=maximum,
            borrow=borrow,
        )
    done("The quota {id} on {resource} is set", id=made["id"], resource=resource)


@quotas.command("delete")
def delete_quota(
    quota: Annotated[str, typer.Argument(help="Quota id", metavar="QUOTA")], yes: Yes = False
) -> None:
    """Take a quota away."""
    confirm("Take the quota {quota} away?", yes, quota=quota)
    with client() as center:
        center.quotas.delete(quota)
    done("The quota {quota} is gone", quota=quota)


@shares.command("list")
def list_shares(org: Org = None, as_json: Json = False) -> None:
    """List weights that are not 1."""
    with client() as center:
        rows = center.shares.list(org)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Of", "Weight"),
        [(r["owner"], r["weight"]) for r in rows],
        right=(1,),
    )


@shares.command("set")
def set_share(
    weight: Annotated[float, typer.Argument(help="2 gets twice what 1 gets")],
    org: Org = None,
    project: Annotated[str | None, typer.Option(help="Of this project, inside its organisation")] = None,
) -> None:
    """Set the fair-share weight of an organisation, or of a project inside its organisation."""
    with client() as center:
        center.shares.set(org_of(org), weight, project=project)
    done("The weight is {weight}", weight=f"{weight:g}")


@shares.command("delete")
def delete_share(
    org: Org = None,
    project: Annotated[str | None, typer.Option(help="Of this project, inside its organisation")] = None,
) -> None:
    """Back to the weight 1."""
    with client() as center:
        center.shares.delete(org_of(org), project=project)
    done("The weight is {weight}", weight="1")


def fair_share(as_json: Json = False) -> None:
    """Show who is served next, and why: recent use by project over its weight."""
    with client() as center:
        found = center.shares.standings()
    if as_json:
        show_json(found)
        return
    table(
        ("Rank", "Project", "Share %", "Weight", "Why"),
        [
            (r["rank"], r["owner"], f"{100 * r['share']:.2f}", f"{r['weight']:g}", r["why"])
            for r in found["items"]
        ],
        right=(0, 2, 3),
    )
