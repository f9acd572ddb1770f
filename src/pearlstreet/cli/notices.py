"""Notices and webhooks from the terminal."""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.errors import Conflict, InvalidInput, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.cli.accounts import Json, Yes
from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.output import (
    confirm,
    done,
    facts,
    out,
    say,
    show_json,
    show_lines,
    table,
    time_cell,
    warn,
)
from pearlstreet.cli.profile import client
from pearlstreet.client import results

if TYPE_CHECKING:
    from pearlstreet.client import Client, results

CENTER = "center"
TEST_WITHIN_S = 30.0
PAUSE_S = 0.3
Center = Annotated[bool, typer.Option("--center", help="The operators' own, not an organisation's")]
HookArg = Annotated[str, typer.Argument(help="Webhook id", metavar="WEBHOOK")]

notices = typer.Typer(help="What you are told of: list, read, preferences, test.", no_args_is_help=True)
webhooks = typer.Typer(help="Where events are posted: list, add, test, remove.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(notices, name="notices")
    app.add_typer(webhooks, name="webhooks")


@notices.command("list")
def list_notices(
    unread: Annotated[bool, typer.Option("--unread", help="Only those you have not read")] = False,
    limit: Annotated[int, typer.Option(help="How many, newest first")] = 30,
    as_json: Json = False,
) -> None:
    """List what you were told of."""
    with client() as center:
        rows = list(islice(center.notices.list(unread=unread, limit=min(limit, 500)), limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Notice", "Time (UTC)", "Read", "What"),
        [(r["id"], time_cell(r["at"]), r["read"] is not None, r["title"]) for r in rows],
    )


@notices.command("show")
def show_notice(
    notice: Annotated[str, typer.Argument(help="Notice id", metavar="NOTICE")], as_json: Json = False
) -> None:
    """Show a notice whole, and mark it as read."""
    with client() as center:
        found = next((row for row in center.notices.list() if row["id"] == notice), None)
        if found is None:
            raise InvalidInput(text("You have no notice {notice}", notice=notice))
        center.notices.mark([notice])
    if as_json:
        show_json(found)
        return
    out.print(found["title"], style="bold", markup=False)
    out.print(found["text"], markup=False)


@notices.command("read")
def read_notices(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Notice ids; none: all", metavar="NOTICE...")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Mark them as not read")] = False,
) -> None:
    """Mark notices as read."""
    with client() as center:
        changed = center.notices.mark(ids or None, read=not undo)
    done(plural("{count} notice is changed", "{count} notices are changed", count=changed))


@notices.command("kinds")
def list_kinds(as_json: Json = False) -> None:
    """List what there is to hear of."""
    with client() as center:
        rows = center.notices.kinds()
    if as_json:
        show_lines(rows)
        return
    table(
        ("Kind", "What", "Whose business", "Usually"),
        [(r["name"], r["what"], say(r["concerns"]), ", ".join(r["usual"])) for r in rows],
    )


@notices.command("prefs")
def preferences(
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="KIND=inbox,email; KIND= for nothing; KIND=usual", metavar="KIND=CHANNELS"
        ),
    ] = None,
    email: Annotated[str | None, typer.Option(help="Address for notices; a code is sent to it")] = None,
    language: Annotated[str | None, typer.Option(help="Of the mails: en or zh-CN")] = None,
    org: Annotated[str | None, typer.Option(help="An organisation's, not your own")] = None,
    center_own: Center = False,
    as_json: Json = False,
) -> None:
    """Show what is heard of where; with options, change it."""
    whose = CENTER if center_own else org
    with client() as center:
        if kind or email is not None or language is not None:
            found = center.notices.set_preferences(
                whose, language=language, email=email, kinds=_choices(kind or [])
            )
        else:
            found = center.notices.preferences(whose)
    if as_json:
        show_json(found)
        return
    _show_preferences(found)
    if email:
        warn(say("A code was sent to {email}: pearl notices confirm CODE", email=email))


def _choices(pairs: list[str]) -> dict[str, list[str] | None]:
    found: dict[str, list[str] | None] = {}
    for pair in pairs:
        kind, equals, channels = pair.partition("=")
        if not equals:
            message = text("{pair} is not KIND=CHANNELS", pair=pair)
            raise InvalidInput(message, problems=[Problem("--set", message)])
        found[kind] = None if channels == "usual" else [name for name in channels.split(",") if name]
    return found


def _show_preferences(found: results.Preferences) -> None:
    address = found["email"]
    if address and not found["email_confirmed"]:
        address = say("{email} (not confirmed)", email=address)
    facts(
        {
            "Address": address,
            "Language": found["language"],
            "Mail": found["mail_available"],
            "Channels": ", ".join(found["channels"]),
        }
    )
    out.print()
    table(("Kind", "Where"), [(name, ", ".join(channels)) for name, channels in found["kinds"].items()])


@notices.command("confirm")
def confirm_address(
    code: Annotated[str, typer.Argument(help="The code that came by mail", metavar="CODE")],
    org: Annotated[str | None, typer.Option(help="An organisation's address, not your own")] = None,
    center_own: Center = False,
) -> None:
    """Confirm an address with the code that was sent to it."""
    with client() as center:
        found = center.notices.confirm(code, CENTER if center_own else org)
    done("Notices are sent to {email}", email=found["email"])


@notices.command("test")
def send_test() -> None:
    """Send yourself a notice, the way that every notice goes."""
    with client() as center:
        center.notices.test()
    done("A test is on its way to where you hear of tests (pearl notices prefs)")


@notices.command("balance-below")
def balance_below(
    yuan: Annotated[str | None, typer.Argument(help="Yuan; none: show it", metavar="YUAN")] = None,
    org: Org = None,
    as_json: Json = False,
) -> None:
    """Show or set the available balance below which balance.low is told."""
    with client() as center:
        where = org_of(org)
        found = center.credit.alert(where) if yuan is None else center.credit.set_alert(where, yuan)
    if as_json:
        show_json(found)
        return
    facts({"Told below": found["below"]})


@webhooks.command("list")
def list_webhooks(org: Org = None, center_own: Center = False, as_json: Json = False) -> None:
    """List where events are posted."""
    with client() as center:
        rows = center.webhooks.list(_whose(org, center_own))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Webhook", "Address", "State", "Kinds", "Problem"),
        [
            (r["id"], r["url"], say(r["state"]), ", ".join(r["kinds"]) or say("all"), r["last_error"])
            for r in rows
        ],
    )


@webhooks.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="https address that takes POST", metavar="URL")],
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds (pearl notices kinds)")] = None,
    org: Org = None,
    center_own: Center = False,
    as_json: Json = False,
) -> None:
    """Have events posted to an address. The secret that signs them is shown once."""
    with client() as center:
        made = center.webhooks.add(_whose(org, center_own), url, kinds=kind or ())
    if as_json:
        show_json(made)
        return
    done("Events are posted to {url} ({id})", url=made["url"], id=made["id"])
    warn(say("The secret is shown once; the receiver checks signatures with it:"))
    sys.stdout.write(made["secret"] + "\n")


@webhooks.command("test")
def test_webhook(hook: HookArg, org: Org = None, center_own: Center = False, as_json: Json = False) -> None:
    """Post a test there and wait for how it goes."""
    with client() as center:
        whose = _whose(org, center_own)
        found = _await(center, whose, hook, center.webhooks.test(whose, hook))
    if as_json:
        show_json(found)
    if found["state"] != "delivered":
        raise Conflict(
            text("It was not delivered: {problem}", problem=found["last_error"] or say("no answer yet"))
        )
    if not as_json:
        done("The test was delivered")


def _await(center: Client, whose: str, hook: str, delivery: results.Delivery) -> results.Delivery:
    """Return the delivery once it was tried."""
    until = time.monotonic() + TEST_WITHIN_S
    while delivery["state"] == "due" and not delivery["tries"] and time.monotonic() < until:
        time.sleep(PAUSE_S)
        delivery = center.webhooks.delivery(whose, hook, delivery["id"])
    return delivery


@webhooks.command("deliveries")
def deliveries(
    hook: HookArg,
    limit: Annotated[int, typer.Option(help="How many, newest first")] = 30,
    org: Org = None,
    center_own: Center = False,
    as_json: Json = False,
) -> None:
    """List what was posted there or waits, of the last seven days."""
    with client() as center:
        found = center.webhooks.deliveries(_whose(org, center_own), hook, limit=min(limit, 500))
        rows = list(islice(found, limit))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Time (UTC)", "Kind", "State", "Tries", "Problem"),
        [(time_cell(r["created"]), r["kind"], say(r["state"]), r["tries"], r["last_error"]) for r in rows],
        right=(3,),
    )


@webhooks.command("enable")
def enable_webhook(hook: HookArg, org: Org = None, center_own: Center = False) -> None:
    """Post there again, after it was switched off."""
    with client() as center:
        found = center.webhooks.enable(_whose(org, center_own), hook)
    done("Events are posted to {url} ({id})", url=found["url"], id=found["id"])


@webhooks.command("remove")
def remove_webhook(hook: HookArg, org: Org = None, center_own: Center = False, yes: Yes = False) -> None:
    """Post nothing there any more."""
    confirm("Remove {webhook}?", yes, webhook=hook)
    with client() as center:
        center.webhooks.remove(_whose(org, center_own), hook)
    done("{webhook} is removed", webhook=hook)


def _whose(org: str | None, center_own: bool) -> str:
    return CENTER if center_own else org_of(org)
