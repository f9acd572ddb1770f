"""Routes of user accounts."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, command, query
from pearlstreet.tenancy import users as service
from pearlstreet.tenancy.model import Actor, Standing, User, VisibleUser
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole
from pearlstreet.tenancy.users import Invited

router = SecuredRouter("/users", "users")


class UserOut(Out):
    """A user account. Of other members only id, name and display name are shown; the other fields are null."""

    id: str
    name: str
    display_name: str
    email: str | None
    state: Standing | None
    operator_role: OperatorRole | None
    created: Time | None


def user_out(user: User | VisibleUser) -> dict[str, object]:
    """Return a user as a UserOut."""
    return {
        "id": user.id,
        "name": user.name,
        "display_name": user.display_name,
        "email": user.email,
        "state": user.state,
        "operator_role": user.operator_role,
        "created": time_of(user.created_us),
    }


class UserIn(In):
    """A new user account: a member of `org`, an operator, or neither."""

    name: str = Field(max_length=80)
    display_name: str = Field("", max_length=400)
    email: str | None = Field(None, max_length=320)
    org: str | None = Field(None, max_length=80)
    role: OrgRole = OrgRole.MEMBER
    operator_role: OperatorRole | None = None


class Removed(Out):
    """Id or name of the removed row."""

    removed: str


class InvitedOut(Out):
    """A user account and a one-time token to set its password within 72 hours. The token is shown only once."""

    user: UserOut
    token: str


def _invited(found: Invited) -> dict[str, object]:
    return {"user": user_out(found.user), "token": found.token}


@router.post(
    "",
    tie=Tied.NONE,
    scope="users:write",
    location="/users/{user.id}",
    status_code=201,
    responses={201: {"model": InvitedOut}},
)
async def create_user(request: Request, body: UserIn, actor: Actor = CurrentActor) -> Response:
    """Create a user account. The response contains a one-time token to set its password."""
    return await command(
        request,
        actor,
        lambda store: service.create_user(
            store,
            actor,
            body.name,
            display_name=body.display_name,
            email=body.email,
            org=body.org,
            role=body.role,
            operator_role=body.operator_role,
            per_day_max=center_of(request).rates.org_accounts_per_day,
        ),
        _invited,
        status=201,
    )


@router.get("", scope="users:read", responses={200: {"model": Page[UserOut]}})
async def list_users(
    request: Request, actor: Actor = CurrentActor, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the user accounts that the caller may see, oldest first."""
    store, after = center_of(request).store, read_cursor(cursor)
    return await query(
        lambda: service.list_users(store, actor, after=after, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: row.id, user_out),
    )


@router.get("/{user}", signed_in=True, responses={200: {"model": UserOut}})
async def get_user(request: Request, user: str, actor: Actor = CurrentActor) -> Response:
    """Get a user account by id or login name."""
    store = center_of(request).store
    return await query(lambda: service.get_user(store, actor, user), user_out)


class ReasonIn(In):
    """The reason, for the audit log."""

    reason: str = Field("", max_length=500)


@router.post("/{user}/suspend", scope="users:write", at_center=True, responses={200: {"model": UserOut}})
async def suspend_user(
    request: Request, user: str, body: ReasonIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Suspend a user account at once, including its sessions and keys."""
    why = body.reason if body else ""
    return await command(request, actor, lambda s: service.suspend_user(s, actor, user, why), user_out)


@router.post("/{user}/resume", scope="users:write", at_center=True, responses={200: {"model": UserOut}})
async def resume_user(
    request: Request, user: str, body: ReasonIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Resume a suspended user account."""
    why = body.reason if body else ""
    return await command(request, actor, lambda s: service.resume_user(s, actor, user, why), user_out)


@router.post("/{user}/close", scope="users:write", at_center=True, responses={200: {"model": UserOut}})
async def close_user(
    request: Request, user: str, body: ReasonIn | None = None, actor: Actor = CurrentActor
) -> Response:
    """Close a user account permanently."""
    why = body.reason if body else ""
    return await command(request, actor, lambda s: service.close_user(s, actor, user, why), user_out)


class DutyIn(In):
    """The operator role; null removes it."""

    operator_role: OperatorRole | None


@router.put("/{user}/operator-role", scope="users:write", at_center=True, responses={200: {"model": UserOut}})
async def set_operator_role(
    request: Request, user: str, body: DutyIn, actor: Actor = CurrentActor
) -> Response:
    """Set a user's operator role (system, security or audit), or remove it."""
    return await command(
        request, actor, lambda s: service.set_operator_role(s, actor, user, body.operator_role), user_out
    )


@router.post(
    "/{user}/password-link",
    scope="users:write",
    at_center=True,
    location="/users/{user}",
    status_code=201,
    responses={201: {"model": InvitedOut}},
)
async def create_password_link(request: Request, user: str, actor: Actor = CurrentActor) -> Response:
    """Create a one-time token to set the user's password. Earlier tokens become invalid."""
    return await command(
        request, actor, lambda s: service.issue_password_link(s, actor, user), _invited, status=201
    )
