"""Routes of invitations: those of an organisation and those that the caller received."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.routes.members import MemberOut, member_out
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.tenancy import invitations as service
from pearlstreet.tenancy.model import Actor, Invitation, InvitationState
from pearlstreet.tenancy.scopes import OrgRole

router = SecuredRouter("/orgs/{org}/invitations", "members")
own_router = SecuredRouter("/invitations", "members")


class InvitationOut(Out):
    """An invitation to a role. `invitee`: the login name or e-mail address, as entered."""

    id: str
    org: str
    invitee: str
    role: OrgRole
    state: InvitationState
    invited_by: str
    created: Time
    expires: Time
    ended: Time | None


class Invitations(Out):
    """Invitations, newest first."""

    items: list[InvitationOut]


class InvitationIn(In):
    """The invitee, by login name or e-mail address, and the role."""

    user: str = Field(max_length=320)
    role: OrgRole = OrgRole.MEMBER


class AcceptInvitationIn(In):
    """Options of accepting an invitation."""

    as_default: bool = Field(False, description="Also make it the default organisation")


class CodeIn(In):
    """The code of the invitation mail."""

    code: str = Field(max_length=200)


def invitation_out(found: Invitation) -> dict[str, object]:
    """Return an invitation as an InvitationOut."""
    return {
        "id": found.id,
        "org": found.org_slug,
        "invitee": found.invitee,
        "role": found.role,
        "state": found.state,
        "invited_by": found.invited_by,
        "created": time_of(found.created_us),
        "expires": time_of(found.expires_us),
        "ended": time_of(found.ended_us),
    }


def _items(rows: Sequence[Invitation]) -> dict[str, object]:
    return {"items": [invitation_out(row) for row in rows]}


@router.post(
    "",
    tie=Tied.NONE,
    scope="users:write",
    location="/orgs/{org}/invitations/{id}",
    status_code=201,
    responses={201: {"model": InvitationOut}},
)
async def create_invitation(
    request: Request, org: str, body: InvitationIn, actor: Actor = CurrentActor
) -> Response:
    """Invite a user to a role. The invitation is valid for 14 days; accepting it makes the user a member."""
    has_mail = center_of(request).channels.mailer is not None
    return await command(
        request,
        actor,
        lambda s: service.invite(s, actor, org, body.user, body.role, has_mail=has_mail),
        invitation_out,
        status=201,
    )


@router.get("", scope="users:write", responses={200: {"model": Invitations}})
async def list_org_invitations(
    request: Request,
    org: str,
    actor: Actor = CurrentActor,
    ended: Annotated[bool, Query(description="Also those that ended in the last 90 days")] = False,
) -> Response:
    """List the organisation's pending invitations."""
    store = center_of(request).store
    return await query(lambda: service.list_invitations(store, actor, org, ended=ended), _items)


@router.delete("/{invitation}", scope="users:write", responses={200: {"model": InvitationOut}})
async def withdraw_invitation(
    request: Request, org: str, invitation: str, actor: Actor = CurrentActor
) -> Response:
    """Withdraw a pending invitation."""
    return await command(
        request, actor, lambda s: service.withdraw_invitation(s, actor, org, invitation), invitation_out
    )


@own_router.get("", tie=Tied.NONE, scope="membership:own", responses={200: {"model": Invitations}})
async def list_own_invitations(request: Request, actor: Actor = CurrentActor) -> Response:
    """List the caller's pending invitations."""
    store = center_of(request).store
    return await query(lambda: service.list_own_invitations(store, actor), _items)


@own_router.post("/claim", tie=Tied.NONE, scope="membership:own", responses={200: {"model": InvitationOut}})
async def claim_invitation(request: Request, body: CodeIn, actor: Actor = CurrentActor) -> Response:
    """Assign an invitation received by mail to the caller, who can then accept or decline it."""
    return await command(
        request, actor, lambda s: service.claim_invitation(s, actor, body.code), invitation_out
    )


@own_router.post(
    "/{invitation}/accept", tie=Tied.NONE, scope="membership:own", responses={200: {"model": MemberOut}}
)
async def accept_invitation(
    request: Request, invitation: str, body: AcceptInvitationIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Accept an invitation: the caller becomes a member with its role."""
    as_default = body.as_default if body else False
    return await command(
        request,
        actor,
        lambda s: service.accept_invitation(s, actor, invitation, as_default=as_default),
        member_out,
    )


@own_router.post(
    "/{invitation}/decline", tie=Tied.NONE, scope="membership:own", responses={200: {"model": InvitationOut}}
)
async def decline_invitation(request: Request, invitation: str, actor: Actor = CurrentActor) -> Response:
    """Decline an invitation."""
    return await command(
        request, actor, lambda s: service.decline_invitation(s, actor, invitation), invitation_out
    )
