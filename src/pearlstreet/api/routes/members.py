"""Routes of an organisation's members, of leaving it and of the caller's default organisation."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.routes.users import Removed
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.tenancy import members as service
from pearlstreet.tenancy.model import Actor, Membership
from pearlstreet.tenancy.scopes import OrgRole

router = SecuredRouter("/orgs/{org}", "members")
own_router = SecuredRouter("/me", "members")


class MemberOut(Out):
    """A member of an organisation: the role, and everything the organisation sees of the user."""

    user_id: str
    user: str
    display_name: str
    org_id: str
    org: str
    role: OrgRole
    joined: Time


class Members(Out):
    """Members of an organisation, by login name."""

    items: list[MemberOut]


class RoleIn(In):
    """A role in an organisation."""

    role: OrgRole


class Left(Out):
    """The organisation that the caller left."""

    left: str


class DefaultOrgIn(In):
    """The default organisation of requests, by slug or id; null: requests must name one."""

    org: str | None = Field(max_length=80)


class DefaultOrgOut(Out):
    """The default organisation of requests, by slug."""

    default_org: str | None


def member_out(found: Membership) -> dict[str, object]:
    """Return a membership as a MemberOut."""
    return {
        "user_id": found.user_id,
        "user": found.user_name,
        "display_name": found.display_name,
        "org_id": found.org_id,
        "org": found.org_slug,
        "role": found.role,
        "joined": time_of(found.joined_us),
    }


@router.get("/members", scope="users:read", responses={200: {"model": Members}})
async def list_members(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """List the members of the organisation."""
    store = center_of(request).store
    return await query(
        lambda: service.list_members(store, actor, org),
        lambda rows: {"items": [member_out(row) for row in rows]},
    )


@router.put("/members/{user}", tie=Tied.NONE, scope="users:write", responses={200: {"model": MemberOut}})
async def set_member_role(
    request: Request, org: str, user: str, body: RoleIn, actor: Actor = CurrentActor
) -> Response:
    """Set a member's role. A user who is not a member is invited."""
    return await command(
        request, actor, lambda s: service.set_role(s, actor, org, user, body.role), member_out
    )


@router.delete("/members/{user}", scope="users:write", responses={200: {"model": Removed}})
async def remove_member(request: Request, org: str, user: str, actor: Actor = CurrentActor) -> Response:
    """Remove a member and revoke their keys tied to the organisation. The account and running jobs stay."""
    return await command(
        request, actor, lambda s: service.remove_member(s, actor, org, user), lambda _: {"removed": user}
    )


@router.post("/leave", tie=Tied.NONE, scope="membership:own", responses={200: {"model": Left}})
async def leave_org(request: Request, org: str, actor: Actor = CurrentActor) -> Response:
    """Leave the organisation. The caller's keys tied to it are revoked; their jobs belong to it and continue."""
    return await command(request, actor, lambda s: service.leave_org(s, actor, org), lambda _: {"left": org})


@own_router.put(
    "/default-org", tie=Tied.NONE, scope="membership:own", responses={200: {"model": DefaultOrgOut}}
)
async def set_default_org(request: Request, body: DefaultOrgIn, actor: Actor = CurrentActor) -> Response:
    """Set the caller's default organisation."""
    return await command(
        request,
        actor,
        lambda s: service.set_default_org(s, actor, body.org),
        lambda slug: {"default_org": slug},
    )
