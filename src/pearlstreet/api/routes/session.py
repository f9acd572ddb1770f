"""Routes to sign in and out, and of passwords, sessions, identities and the caller's own account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.routes.users import UserOut, user_out
from pearlstreet.api.routing import (
    CurrentActor,
    SecuredRouter,
    Tied,
    answer,
    center_of,
    command,
    encode,
    in_thread,
    peer_of,
    query,
)
from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.store.core import Store
from pearlstreet.tenancy import federation, members, sessions, terminal, users
from pearlstreet.tenancy.model import Actor, Membership, Session, VisibleUser
from pearlstreet.tenancy.oidc_client import OidcClient
from pearlstreet.tenancy.passwords import MAX_LENGTH
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole
from pearlstreet.tenancy.sessions import SignedIn
from pearlstreet.tenancy.terminal import Left, terminal_from

router = SecuredRouter("", "session")
COOKIE = "pearl_sign_in"
COOKIE_S = 600


class SignInIn(In):
    """Credentials of a user."""

    name: str = Field(max_length=80)
    password: str = Field(max_length=4 * MAX_LENGTH)


class SignedInOut(Out):
    """A new session. The token is shown only once; send it as `Authorization: Bearer …`."""

    token: str
    session_id: str
    expires: Time
    user: UserOut


def _signed_in(found: SignedIn) -> dict[str, object]:
    return {
        "token": found.credential,
        "session_id": found.session.id,
        "expires": time_of(found.session.expires_us),
        "user": user_out(found.user),
    }


@router.post(
    "/sign-in",
    public=True,
    location="/sessions/{session_id}",
    status_code=201,
    responses={201: {"model": SignedInOut}},
)
async def sign_in(request: Request, body: SignInIn) -> Response:
    """Start a session with a password. It ends after 12 hours, or after one hour without use."""
    peer = peer_of(request)
    return await command(
        request,
        None,
        lambda store: sessions.sign_in(store, body.name, body.password, peer=peer),
        _signed_in,
        status=201,
    )


class PickUpIn(In):
    """The code that a browser sign-in left for a program, and the program's secret verifier."""

    code: str = Field(max_length=200)
    verifier: str = Field(max_length=200)


@router.post(
    "/sign-in/terminal",
    public=True,
    location="/sessions/{session_id}",
    status_code=201,
    responses={201: {"model": SignedInOut}},
)
async def sign_in_terminal(request: Request, body: PickUpIn) -> Response:
    """Start a session for a program, from a sign-in that was completed in a browser."""
    peer = peer_of(request)
    return await command(
        request,
        None,
        lambda store: terminal.pick_up(store, body.code, body.verifier, peer=peer),
        _signed_in,
        status=201,
    )


class Ended(Out):
    """Id of the ended session or removed identity."""

    ended: str | None


@router.post("/sign-out", tie=Tied.PROJECT, signed_in=True, responses={200: {"model": Ended}})
async def sign_out(request: Request, actor: Actor = CurrentActor) -> Response:
    """End the current session. API keys stay valid."""
    return await command(
        request, actor, lambda store: sessions.sign_out(store, actor), lambda _: {"ended": actor.session_id}
    )


class PasswordIn(In):
    """Current and new password."""

    current: str = Field(max_length=4 * MAX_LENGTH)
    new: str = Field(max_length=4 * MAX_LENGTH)


@router.post("/password", tie=Tied.NONE, signed_in=True, responses={200: {"model": UserOut}})
async def change_password(request: Request, body: PasswordIn, actor: Actor = CurrentActor) -> Response:
    """Change the caller's password and end their other sessions."""
    peer = peer_of(request)
    return await command(
        request,
        actor,
        lambda store: sessions.change_password(store, actor, body.current, body.new, peer=peer),
        user_out,
    )


class SetPasswordIn(In):
    """A one-time token and the password to set."""

    token: str = Field(max_length=200)
    password: str = Field(max_length=4 * MAX_LENGTH)


@router.post("/set-password", public=True, responses={200: {"model": UserOut}})
async def set_password(request: Request, body: SetPasswordIn) -> Response:
    """Set a password with a one-time token from a security operator."""
    return await command(
        request, None, lambda store: sessions.set_password(store, body.token, body.password), user_out
    )


class MemberOfOut(Out):
    """A role in an organisation."""

    org_id: str
    slug: str
    role: OrgRole
    suspended: bool


class TieOut(Out):
    """The organisation, or its project, that the key is restricted to."""

    org_id: str
    project_id: str | None
    place: str


class MeOut(Out):
    """The caller and their permissions. `tie` is null if the credential works everywhere the user does."""

    user: UserOut
    orgs: list[MemberOfOut]
    default_org: str | None = Field(description="Slug of the default organisation of requests")
    operator_roles: list[OperatorRole]
    scopes: list[str]
    key_id: str | None
    session_id: str | None
    tie: TieOut | None


@router.get("/me", tie=Tied.PROJECT, signed_in=True, responses={200: {"model": MeOut}})
async def get_me(request: Request, actor: Actor = CurrentActor) -> Response:
    """Get the caller: user, organisations with roles, operator roles and scopes."""
    store = center_of(request).store
    return await query(
        lambda: (users.get_user(store, actor, actor.user_id), members.list_memberships(store, actor)),
        lambda found: _me(actor, *found),
    )


def _me(actor: Actor, user: VisibleUser, memberships: Sequence[Membership]) -> dict[str, object]:
    tie = actor.tie

    def one(found: Membership) -> dict[str, object]:
        suspended = found.org_id in actor.suspended
        return {"org_id": found.org_id, "slug": found.org_slug, "role": found.role, "suspended": suspended}

    return {
        "user": user_out(user),
        "orgs": [one(item) for item in memberships],
        "default_org": actor.org_slugs.get(actor.default_org or ""),
        "operator_roles": sorted(actor.operator_roles),
        "scopes": sorted(actor.all_scopes()),
        "key_id": actor.key_id,
        "session_id": actor.session_id,
        "tie": None
        if tie is None
        else {"org_id": tie.org_id, "project_id": tie.project_id, "place": tie.name},
    }


class SessionOut(Out):
    """A session."""

    id: str
    created: Time
    expires: Time
    last_seen: Time
    peer: str
    current: bool


class Sessions(Out):
    """Active sessions, newest first."""

    items: list[SessionOut]


@router.get("/sessions", tie=Tied.NONE, signed_in=True, responses={200: {"model": Sessions}})
async def list_sessions(request: Request, actor: Actor = CurrentActor) -> Response:
    """List the caller's active sessions."""
    store = center_of(request).store

    def one(found: Session) -> dict[str, object]:
        return {
            "id": found.id,
            "created": time_of(found.created_us),
            "expires": time_of(found.expires_us),
            "last_seen": time_of(found.last_seen_us),
            "peer": found.peer,
            "current": found.id == actor.session_id,
        }

    return await query(
        lambda: sessions.list_sessions(store, actor), lambda rows: {"items": [one(row) for row in rows]}
    )


@router.delete("/sessions/{session}", tie=Tied.NONE, signed_in=True, responses={200: {"model": Ended}})
async def end_session(request: Request, session: str, actor: Actor = CurrentActor) -> Response:
    """End a session: the caller's own or, as a security operator, any user's."""
    return await command(
        request,
        actor,
        lambda store: sessions.end_session(store, actor, session),
        lambda _: {"ended": session},
    )


def _provider(request: Request, name: str) -> OidcClient:
    found = center_of(request).oidc.get(name)
    if found is None:
        raise NotFound(text("There is no sign-in provider {name}", name=name[:80]))
    return found


@router.get("/oidc/{provider}/start", public=True, status_code=303, response_class=Response)
async def start_oidc_sign_in(
    request: Request,
    provider: str,
    port: Annotated[
        int | None, Query(description="Port of the waiting program on the user's machine")
    ] = None,
    challenge: Annotated[
        str | None, Query(max_length=100, description="SHA-256 of the program's verifier, base64url")
    ] = None,
) -> Response:
    """Redirect the browser to the sign-in provider; with `port` and `challenge`, for a program on the user's machine."""
    waiting = terminal_from(port, challenge)
    client, store = _provider(request, provider), center_of(request).store
    base = center_of(request).public_url or str(request.base_url).rstrip("/")
    back = f"{base}/api/v1/oidc/{provider}/callback"
    begun = await in_thread(lambda: federation.begin(store, client, redirect_uri=back, terminal=waiting))
    found = Response(status_code=303, headers={"location": begun.url})
    found.set_cookie(
        COOKIE,
        begun.binding,
        max_age=COOKIE_S,
        path=f"/api/v1/oidc/{provider}",
        httponly=True,
        samesite="lax",
        secure=back.startswith("https:"),
    )
    return found


@router.get("/oidc/{provider}/callback", public=True, responses={200: {"model": SignedInOut}})
async def finish_oidc_sign_in(
    request: Request,
    provider: str,
    state: Annotated[str, Query(max_length=500)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    iss: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Complete the sign-in at a provider: return a session, or redirect the browser to the waiting program."""
    client, store, peer = _provider(request, provider), center_of(request).store, peer_of(request)
    binding = request.cookies.get(COOKIE, "")

    def work() -> SignedIn | Left:
        return federation.finish_or_leave(
            store, client, state=state, code=code, binding=binding, peer=peer, issuer=iss
        )

    done = await in_thread(work)
    if isinstance(done, Left):
        found = Response(status_code=303, headers={"location": done.url})
    else:
        found = answer(encode(_signed_in(done)))
    found.delete_cookie(COOKIE, path=f"/api/v1/oidc/{provider}")
    return found


class IdentityIn(In):
    """An identity at a sign-in provider."""

    issuer: str = Field(max_length=500)
    subject: str = Field(max_length=255)


class IdentityOut(Out):
    """A user's identity at a sign-in provider."""

    issuer: str
    subject: str
    user_id: str


class Identities(Out):
    """Identities of a user."""

    items: list[IdentityOut]


def _identity(found: federation.LinkedIdentity) -> dict[str, object]:
    return {"issuer": found.issuer, "subject": found.subject, "user_id": found.user_id}


@router.get("/users/{user}/identities", tie=Tied.NONE, signed_in=True, responses={200: {"model": Identities}})
async def list_identities(request: Request, user: str, actor: Actor = CurrentActor) -> Response:
    """List a user's identities at sign-in providers: the caller's own or, as a security operator, any user's."""
    store = center_of(request).store
    return await query(
        lambda: federation.list_identities(store, actor, user),
        lambda rows: {"items": [_identity(row) for row in rows]},
    )


@router.post(
    "/users/{user}/identities",
    scope="users:write",
    at_center=True,
    location="/users/{user}/identities",
    status_code=201,
    responses={201: {"model": IdentityOut}},
)
async def link_identity(
    request: Request, user: str, body: IdentityIn, actor: Actor = CurrentActor
) -> Response:
    """Link an identity at a sign-in provider to a user before its first sign-in."""
    return await command(
        request,
        actor,
        lambda store: federation.link_identity(store, actor, user, body.issuer, body.subject),
        _identity,
        status=201,
    )


@router.delete(
    "/users/{user}/identities", scope="users:write", at_center=True, responses={200: {"model": Ended}}
)
async def unlink_identity(
    request: Request, user: str, body: IdentityIn, actor: Actor = CurrentActor
) -> Response:
    """Unlink an identity from its user."""

    def work(store: Store) -> None:
        users.get_user(store, actor, user)
        federation.unlink_identity(store, actor, body.issuer, body.subject)

    return await command(request, actor, work, lambda _: {"ended": body.subject})
