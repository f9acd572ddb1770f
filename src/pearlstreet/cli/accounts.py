"""Signing in; users, organisations, projects, members, keys, secrets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.base.units import format_bytes
from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.members import add_to_orgs
from pearlstreet.cli.output import (
    confirm,
    done,
    err,
    facts,
    say,
    secret_input,
    show_json,
    show_lines,
    table,
    time_cell,
    warn,
)
from pearlstreet.cli.profile import client, connect
from pearlstreet.client.profile import Profile, active, forget_profile, save_profile

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON")]
UserArg = Annotated[str, typer.Argument(help="Account, by name or id", metavar="USER")]
OrgArg = Annotated[str, typer.Argument(help="Organisation, by slug or id", metavar="ORG")]
Slug = Annotated[str, typer.Argument(help="Short name for addresses and options", metavar="SLUG")]
SecretArg = Annotated[str, typer.Argument(help="Name of the secret", metavar="NAME")]
Title = Annotated[str, typer.Option(help="Name people read")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log")]
Role = Annotated[str, typer.Option(help="owner, member or viewer")]
OfProject = Annotated[str | None, typer.Option(help="Of this project only")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]

keys = typer.Typer(help="API keys: list, create, revoke.", no_args_is_help=True)
users = typer.Typer(help="Accounts: list, create, suspend, roles.", no_args_is_help=True)
orgs = typer.Typer(help="Organisations: list, create, members, invite, leave.", no_args_is_help=True)
projects = typer.Typer(help="Projects: list, create.", no_args_is_help=True)
secrets = typer.Typer(help="Secrets that jobs get as variables: list, set, delete.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (login, logout, whoami, passwd):
        app.command()(command)
    for name, group in (
        ("keys", keys),
        ("users", users),
        ("orgs", orgs),
        ("projects", projects),
        ("secrets", secrets),
    ):
        app.add_typer(group, name=name)


def login(
    url: Annotated[str | None, typer.Option(help="Where the center answers")] = None,
    key: Annotated[
        str | None, typer.Option(help="API key; without it, it is asked for (or read from standard input)")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Sign in with a password; a key is made for this machine")
    ] = None,
    oidc: Annotated[
        bool, typer.Option("--oidc", help="Sign in with the browser; a key is made for this machine")
    ] = False,
    provider: Annotated[
        str | None, typer.Option(help="With --oidc: which sign-in provider, when there are several")
    ] = None,
    org: Org = None,
    ca: Annotated[
        Path | None, typer.Option(help="File of the authority that signed the center's certificate")
    ] = None,
    profile: Annotated[str, typer.Option(help="Name to keep it under")] = "default",
) -> None:
    """Keep an address and a key for the other commands."""
    address = (url or active().url).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InvalidInput(
            text("{url} is not an address", url=address), hint=text("Write it like https://pearl.example.com")
        )
    authority = str(ca.absolute()) if ca is not None else active().ca
    if user is not None:
        key = _key_by_password(address, user, authority)
    elif oidc:
        from pearlstreet.cli.browser import token_by_browser

        key = _key_of_session(address, token_by_browser(address, provider, authority), authority)
    elif key is None:
        _say_other_ways(address, authority)
        key = secret_input("API key: ")
    with connect(address, key.strip(), authority) as center:
        me = center.session.me()
    # Only what was asked for is kept: without it the center's record of the person's default organisation counts.
    file = save_profile(profile, Profile(address, key.strip(), org, authority))
    done("Signed in to {url} as {name}; kept in {file}", url=address, name=me["user"]["name"], file=str(file))


def _say_other_ways(url: str, ca: str | None) -> None:
    """Print how to get a key when people sign in through a provider: sign in with the browser, then create one there."""
    with connect(url, ca=ca) as stranger:
        providers = [name for name in stranger.center()["sign_in"] if name != "password"]
    for name in providers:
        err.print(
            say(
                "With {provider}: open {address} in a browser and give the token it answers as the key",
                provider=name,
                address=f"{url}/api/v1/oidc/{name}/start",
            ),
            style="dim",
            markup=False,
        )


def _key_by_password(url: str, user: str, ca: str | None) -> str:
    with connect(url, ca=ca) as stranger:
        token = stranger.session.sign_in(user, secret_input("Password: "))["token"]
    return _key_of_session(url, token, ca)


def _key_of_session(url: str, token: str, ca: str | None) -> str:
    """Create a key for this machine with the session, end the session, and return the key."""
    with connect(url, token, ca) as person:
        key = str(person.keys.create("pearl login")["key"])
        person.session.sign_out()
    return key


def logout(
    profile: Annotated[str | None, typer.Option(help="Which profile (default: the one in use)")] = None,
) -> None:
    """Forget the key that is kept here; it stays valid until it is revoked (pearl keys revoke)."""
    file, forgotten = forget_profile(profile)
    if forgotten:
        done("The key is forgotten; nothing is left of it in {file}", file=str(file))
    else:
        done("There was no key in {file}", file=str(file))


def whoami(as_json: Json = False) -> None:
    """Show who the center takes you for, and what you may do."""
    with client() as center:
        me = center.session.me()
    if as_json:
        show_json(me)
        return
    facts(
        {
            "Center": active().url,
            "Name": me["user"]["name"],
            "Default organisation": me["default_org"],
            "Organisations": ", ".join(f"{item['slug']} ({say(item['role'])})" for item in me["orgs"]),
            "Duty": ", ".join(say(role) for role in me["operator_roles"]),
            "Key works in": "" if me["tie"] is None else me["tie"]["place"],
            "Scopes": ", ".join(me["scopes"]),
        }
    )


def passwd() -> None:
    """Change your password; with standard input: the present one and the new one, a line each."""
    current, new = secret_input("Present password: "), secret_input("New password: ")
    if sys.stdin.isatty() and secret_input("New password again: ") != new:
        raise InvalidInput(text("The two new passwords differ"))
    with client() as center:
        name = center.session.me()["user"]["name"]
    with connect(active().url) as stranger:
        token = stranger.session.sign_in(name, current)["token"]
    with connect(active().url, token) as person:
        person.session.change_password(current, new)
        person.session.sign_out()
    done("The password is changed; other sessions have ended")


@keys.command("list")
def list_keys(
    everyone: Annotated[bool, typer.Option("--everyone", help="Also other people's, as you may see")] = False,
    as_json: Json = False,
) -> None:
    """List your keys."""
    with client() as center:
        rows = list(center.keys.list(everyone=everyone))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Key", "Label", "Works in", "Expires", "Last used", "State"),
        [
            (
                r["id"],
                r["label"],
                r["place"] or "-",
                r["expires"][:10],
                (r["last_used"] or "-")[:10],
                "revoked" if r["revoked"] else "live",
            )
            for r in rows
        ],
    )


@keys.command("create")
def create_key(
    label: Annotated[str, typer.Argument(help="What it is for")],
    scope: Annotated[list[str] | None, typer.Option(help="Only these scopes (default: all of yours)")] = None,
    org: Annotated[str | None, typer.Option(help="Works in this organisation only")] = None,
    project: Annotated[
        str | None, typer.Option(help="Works in this project only (of --org, or the profile's)")
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(help="Days it lives (default 90, or as long as the key that you use)"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once."""
    if project is not None:
        org = org_of(org)
    with client() as center:
        made = center.keys.create(label, scopes=scope, org=org, project=project, life_days=days)
    if as_json:
        show_json(made)
        return
    warn(say("The key is shown once; keep it safe:"))
    sys.stdout.write(made["key"] + "\n")


@keys.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(help="Key id")], yes: Yes = False) -> None:
    """End a key at once."""
    confirm("Revoke {key}?", yes, key=key)
    with client() as center:
        center.keys.revoke(key)
    done("{key} is revoked", key=key)


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """List accounts."""
    with client() as center:
        rows = list(center.users.list())
    if as_json:
        show_lines(rows)
        return
    table(
        ("User", "Name", "State", "Duty"),
        [(r["id"], r["name"], r["state"], r["operator_role"]) for r in rows],
    )


@users.command("create")
def create_user(
    name: Annotated[str, typer.Argument(help="Name to sign in with")],
    display_name: Annotated[str, typer.Option(help="Name people read")] = "",
    email: Annotated[str | None, typer.Option(help="Address for notices")] = None,
    org: Annotated[str | None, typer.Option(help="Make it a member there")] = None,
    role: Role = "member",
    duty: Annotated[
        str | None, typer.Option(help="system, security or audit: an operator of the center")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an account; shows the one-time token to set its password with."""
    with client() as center:
        made = center.users.create(
            name, display_name=display_name, email=email, org=org, role=role, operator_role=duty
        )
    if as_json:
        show_json(made)
        return
    warn(
        say("Hand this one-time token to {name}; it sets the password (pearl users set-password):", name=name)
    )
    sys.stdout.write(made["token"] + "\n")


@users.command("set-password")
def set_password(
    url: Annotated[str | None, typer.Option(help="Where the center answers")] = None,
) -> None:
    """Set your password with a one-time token; from standard input: token and password, a line each."""
    token, password = secret_input("One-time token: "), secret_input("New password: ")
    with connect(url or active().url) as stranger:
        stranger.session.set_password(token.strip(), password)
    done("The password is set; sign in: pearl login --user NAME")


@users.command("link")
def password_link(user: UserArg, as_json: Json = False) -> None:
    """Make a fresh one-time token to set an account's password with; earlier ones end."""
    with client() as center:
        made = center.users.password_link(user)
    if as_json:
        show_json(made)
        return
    warn(
        say("Hand this one-time token to {name}; it sets the password (pearl users set-password):", name=user)
    )
    sys.stdout.write(made["token"] + "\n")


@users.command("duty")
def set_duty(
    user: UserArg,
    duty: Annotated[str, typer.Argument(help="system, security, audit, or none", metavar="DUTY")],
) -> None:
    """Give an account its one duty at the center, or take it away."""
    with client() as center:
        center.users.set_duty(user, None if duty == "none" else duty)
    done("The duty of {user} is {duty} now", user=user, duty=duty)


@users.command("suspend")
def suspend_user(user: UserArg, reason: Reason = "", yes: Yes = False) -> None:
    """Refuse an account everything, its keys and sessions included."""
    confirm("Suspend {user}?", yes, user=user)
    with client() as center:
        center.users.suspend(user, reason)
    done("{user} is suspended", user=user)


@users.command("resume")
def resume_user(user: UserArg, reason: Reason = "") -> None:
    """Undo a suspension."""
    with client() as center:
        center.users.resume(user, reason)
    done("{user} is active again", user=user)


@orgs.command("list")
def list_orgs(as_json: Json = False) -> None:
    """List organisations you can see."""
    with client() as center:
        rows = list(center.orgs.list())
    if as_json:
        show_lines(rows)
        return
    table(
        ("Organisation", "Slug", "Name", "State"), [(r["id"], r["slug"], r["name"], r["state"]) for r in rows]
    )


@orgs.command("create")
def create_org(slug: Slug, name: Title = "", as_json: Json = False) -> None:
    """Make an organisation with its default project."""
    with client() as center:
        made = center.orgs.create(slug, name)
    _made(made, as_json, "Organisation {slug} is made", slug=slug)


@orgs.command("suspend")
def suspend_org(org: OrgArg, reason: Reason = "", yes: Yes = False) -> None:
    """Leave an organisation's members reading only."""
    confirm("Suspend {org}?", yes, org=org)
    with client() as center:
        center.orgs.suspend(org, reason)
    done("{org} is suspended", org=org)


@orgs.command("resume")
def resume_org(org: OrgArg, reason: Reason = "") -> None:
    """Undo a suspension."""
    with client() as center:
        center.orgs.resume(org, reason)
    done("{org} is active again", org=org)


@orgs.command("export")
def export_org(
    org: Annotated[
        str | None, typer.Argument(help="Organisation (default: the profile's, else yours)", metavar="ORG")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="File to write (default: ORG-export.tar.gz)")] = None,
) -> None:
    """Take everything of an organisation away as one archive; of a closed one, what was kept for it."""
    wanted = org_of(org)
    file = to or Path(f"{wanted}-export.tar.gz")
    with client() as center:
        size = center.files.export(wanted, file)
    done("{file} holds everything of {org}, {size}", file=str(file), org=wanted, size=format_bytes(size))


@orgs.command("close")
def close_org(
    org: OrgArg,
    cancel_jobs: Annotated[
        bool, typer.Option("--cancel-jobs", help="Cancel its jobs that have not ended")
    ] = False,
    reason: Reason = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it is closed")] = True,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End a tenant: archive its data, erase it, keep the books. Asking again shows how far it is."""
    confirm("Close {org} for good? Its data is archived, then erased", yes, org=org)
    with client() as center:
        found = center.orgs.close(org, cancel_jobs=cancel_jobs, reason=reason)
        if wait:
            found = center.wait_closed(org)
    if as_json:
        show_json(found)
        return
    if found["phase"] != "closed":
        done("{org} is being closed: {phase}", org=org, phase=say(found["phase"]))
        return
    facts({"Invoices": ", ".join(found["invoices"]), "Balance left": found["balance"]})
    done("{org} is closed", org=org)
    if found["archive"]:
        err.print(say("Fetch its archive: pearl orgs export {org}", org=org), style="dim", markup=False)


add_to_orgs(orgs)


@projects.command("list")
def list_projects(org: Org = None, as_json: Json = False) -> None:
    """List projects."""
    with client() as center:
        rows = list(center.projects.list(org_of(org)))
    if as_json:
        show_lines(rows)
        return
    table(("Project", "Slug", "Name"), [(r["id"], r["slug"], r["name"]) for r in rows])


@projects.command("create")
def create_project(slug: Slug, name: Title = "", org: Org = None, as_json: Json = False) -> None:
    """Make a project."""
    with client() as center:
        made = center.projects.create(org_of(org), slug, name)
    _made(made, as_json, "Project {slug} is made", slug=slug)


@secrets.command("list")
def list_secrets(org: Org = None, as_json: Json = False) -> None:
    """List names of secrets; values are never shown."""
    with client() as center:
        rows = center.secrets.list(org_of(org))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Name", "Of", "Updated (UTC)"),
        [(r["name"], r["owner"], time_cell(r["updated"])) for r in rows],
    )


@secrets.command("set")
def set_secret(name: SecretArg, org: Org = None, project: OfProject = None) -> None:
    """Keep a secret; its value is read from the terminal or standard input."""
    value = secret_input("Value: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    with client() as center:
        center.secrets.set(org_of(org), name, value, project=project)
    done("Secret {name} is kept", name=name)


@secrets.command("delete")
def delete_secret(name: SecretArg, org: Org = None, project: OfProject = None, yes: Yes = False) -> None:
    """Delete a secret; jobs that need it will fail."""
    confirm("Delete the secret {name}?", yes, name=name)
    with client() as center:
        center.secrets.delete(org_of(org), name, project=project)
    done("Secret {name} is deleted", name=name)


def _made(made: Mapping[str, object], as_json: bool, template: str, **params: object) -> None:
    if as_json:
        show_json(made)
    else:
        done(text(template, **params))
