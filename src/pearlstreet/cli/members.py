"""Members of organisations, invitations, leaving, and one's default organisation."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pearlstreet.cli.current_org import Org, org_of
from pearlstreet.cli.output import confirm, done, err, say, show_json, show_lines, table, time_cell, warn
from pearlstreet.cli.profile import client
from pearlstreet.client.profile import forget_org

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
UserArg = Annotated[str, typer.Argument(help="Account, by name or id", metavar="USER")]
OrgArg = Annotated[str, typer.Argument(help="Organisation, by slug or id", metavar="ORG")]
Role = Annotated[str, typer.Option(help="owner, member or viewer")]
InvitationArg = Annotated[str, typer.Argument(help="Invitation id", metavar="INVITATION")]
AsDefault = Annotated[
    bool, typer.Option("--default", help="Also send requests there that name no organisation")
]

invitations = typer.Typer(
    help="Invitations you have received: list, claim, accept, decline.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands of `pearl invitations`."""
    app.add_typer(invitations, name="invitations")


def add_to_orgs(orgs: typer.Typer) -> None:
    """Add the commands of `pearl orgs` that are about members."""
    for name, command in (
        ("members", members),
        ("invite", invite),
        ("invitations", list_sent),
        ("withdraw", withdraw),
        ("role", set_role),
        ("remove", remove),
        ("leave", leave),
        ("use", use),
    ):
        orgs.command(name)(command)


def members(org: Org = None, as_json: Json = False) -> None:
    """List the members of an organisation."""
    with client() as center:
        rows = center.orgs.members(org_of(org))
    if as_json:
        show_lines(rows)
        return
    table(
        ("User", "Name", "Role", "Since (UTC)"),
        [(r["user"], r["display_name"], r["role"], time_cell(r["joined"])) for r in rows],
    )


def invite(
    user: Annotated[str, typer.Argument(help="Login name or e-mail address", metavar="USER")],
    role: Role = "member",
    org: Org = None,
    as_json: Json = False,
) -> None:
    """Invite somebody to an organisation; they become a member when they accept, within 14 days."""
    with client() as center:
        made = center.orgs.invite(org_of(org), user, role)
    if as_json:
        show_json(made)
        return
    done(
        "{user} is invited to {org} as {role} until {day}",
        user=made["invitee"],
        org=made["org"],
        role=say(made["role"]),
        day=made["expires"][:10],
    )


def list_sent(
    org: Org = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over")] = False,
    as_json: Json = False,
) -> None:
    """List the pending invitations of an organisation."""
    with client() as center:
        rows = center.orgs.invitations(org_of(org), ended=everything)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Invitation", "Invited", "Role", "State", "By", "Expires"),
        [(r["id"], r["invitee"], r["role"], r["state"], r["invited_by"], r["expires"][:10]) for r in rows],
    )


def withdraw(invitation: InvitationArg, org: Org = None) -> None:
    """Take a pending invitation back."""
    with client() as center:
        found = center.orgs.withdraw_invitation(org_of(org), invitation)
    done("The invitation of {user} is withdrawn", user=found["invitee"])


def set_role(
    user: UserArg,
    role: Annotated[str, typer.Argument(help="owner, member or viewer", metavar="ROLE")],
    org: Org = None,
) -> None:
    """Change the role of a member."""
    with client() as center:
        made = center.orgs.set_member(org_of(org), user, role)
    done("{user} is {role} of {org} now", user=made["user"], role=say(made["role"]), org=made["org"])


def remove(user: UserArg, org: Org = None, yes: Yes = False) -> None:
    """End a membership: keys tied to the organisation are revoked; the account and its jobs stay."""
    confirm("Remove {user}?", yes, user=user)
    with client() as center:
        center.orgs.remove_member(org_of(org), user)
    done("{user} is no longer a member", user=user)


def leave(org: OrgArg, yes: Yes = False) -> None:
    """Leave an organisation: your keys tied to it are revoked; jobs run on, they are the organisation's."""
    confirm("Leave {org}? Your keys that are tied to it are revoked", yes, org=org)
    with client() as center:
        center.orgs.leave(org)
    done("You are no longer a member of {org}", org=org)


def use(
    org: Annotated[str, typer.Argument(help="Organisation, by slug or id; none: no default", metavar="ORG")],
) -> None:
    """Choose your default organisation: where your requests go that name none."""
    with client() as center:
        chosen = center.session.set_default_org(None if org == "none" else org)["default_org"]
    forget_org()
    if os.environ.get("PEARL_ORG"):
        warn(say("PEARL_ORG is set and goes first: {org}", org=os.environ["PEARL_ORG"]))
    if chosen is None:
        done("You have no default organisation now; name one with --org")
    else:
        done("Requests that name no organisation go to {org} now", org=chosen)


@invitations.command("list")
def list_received(as_json: Json = False) -> None:
    """List the invitations that you can answer."""
    with client() as center:
        rows = center.invitations.list()
    if as_json:
        show_lines(rows)
        return
    table(
        ("Invitation", "Organisation", "Role", "By", "Expires"),
        [(r["id"], r["org"], r["role"], r["invited_by"], r["expires"][:10]) for r in rows],
    )


@invitations.command("claim")
def claim(
    code: Annotated[str, typer.Argument(help="Code of the invitation, from the mail", metavar="CODE")],
    as_json: Json = False,
) -> None:
    """Show an invitation that came by mail, and make it yours to answer."""
    with client() as center:
        found = center.invitations.claim(code)
    if as_json:
        show_json(found)
        return
    done(
        "{inviter} invites you to {org} as {role}; accept it: pearl invitations accept {invitation}",
        inviter=found["invited_by"],
        org=found["org"],
        role=say(found["role"]),
        invitation=found["id"],
    )


@invitations.command("accept")
def accept(invitation: InvitationArg, as_default: AsDefault = False, as_json: Json = False) -> None:
    """Become a member. Its members see your login name, your display name and your role."""
    with client() as center:
        made = center.invitations.accept(invitation, as_default=as_default)
        me = center.session.me()
    if as_json:
        show_json(made)
        return
    done("You are {role} of {org} now", role=say(made["role"]), org=made["org"])
    if "orgs:read" not in me["scopes"]:
        # A key never grows: one that was made before the first membership carries nothing of an organisation.
        warn(
            say(
                "Your key was made before and does nothing there; sign in again: pearl login --user {user}",
                user=made["user"],
            )
        )
    if me["default_org"] != made["org"]:
        hint = say("Name it with --org {org}; or make it your default: pearl orgs use {org}", org=made["org"])
        err.print(hint, style="dim", markup=False)


@invitations.command("decline")
def decline(invitation: InvitationArg) -> None:
    """Refuse an invitation; the organisation cannot invite you again for 30 days."""
    with client() as center:
        found = center.invitations.decline(invitation)
    done("The invitation of {org} is declined", org=found["org"])
