"""A router that authenticates and authorises every page request, runs it in a thread and adds security headers."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

import anyio.to_thread
import structlog
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from pearlstreet.base.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PearlError,
    TooLarge,
    Unauthenticated,
)
from pearlstreet.base.services import Services
from pearlstreet.base.text import pick_language, text
from pearlstreet.center import Center
from pearlstreet.console import cookies
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import (
    NOBODY,
    Download,
    FormFile,
    PageRequest,
    PageResponse,
    RawResponse,
    Redirect,
    View,
)
from pearlstreet.console.renderer import Renderer
from pearlstreet.http.request_body import check_encoding
from pearlstreet.store.core import Store
from pearlstreet.store.idempotency import OnceClaim, Replayed, fingerprint
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.members import list_memberships
from pearlstreet.tenancy.model import Actor

T = TypeVar("T")
FORM_BYTES_MAX = 1 << 20
FIELDS_MAX = 500
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SHOWN = frozenset(
    f"{kind}/{name}"
    for kind, names in (
        ("image", ("png", "jpeg", "gif", "webp")),
        ("audio", ("flac", "ogg", "mpeg", "wav", "mp4")),
    )
    for name in names
)
"""Media types of files that may be displayed. SVG and HTML are none of them: they can hold scripts."""
DOWNLOAD_CSP = "default-src 'none'; sandbox"
ADDRESS_SIGNS = ":/%#?=@[]!$&'()*+,;"
"""Characters that are not percent-encoded in the target of a redirect."""
log = structlog.get_logger("console")


class SecuredPageRouter:
    """Router of one center's pages. Every page is authorised by its declaration before it is shown."""

    def __init__(self, center: Center, services: Services, renderer: Renderer) -> None:
        self._center = center
        self._services = services
        self._renderer = renderer

    def endpoint(self, page: ConsolePage) -> Callable[[Request], Awaitable[Response]]:
        """Return the ASGI endpoint of a page."""
        page = page.with_services(self._services)

        async def handle(request: Request) -> Response:
            page_request = self._blank(request)

            def admit() -> None:
                nonlocal page_request
                page_request = self._known(page_request)
                _admit(page, page_request)

            def show() -> (
                Response
            ):  # one thread call: switching threads is a large part of the cost of a live part
                admit()
                return self._respond(page_request, page, page.show(page_request))

            try:
                if request.method != "POST":
                    return await in_thread(show)
                await in_thread(admit)
                return await self._act(page, page_request, request)
            except PearlError as error:
                return await self.refuse(page_request, error, page)
            except Exception as error:  # noqa: BLE001  a page must never show internals of an error
                return await self.broken(page_request, error)

        return handle

    async def authenticate(self, request: Request) -> Actor:
        """Return the actor of the session cookie. Raises Unauthenticated."""
        page_request = await in_thread(lambda: self._known(self._blank(request)))
        if not page_request.credential:
            raise Unauthenticated(text("Please sign in"))
        return page_request.actor

    async def missing(self, request: Request, error: Exception) -> Response:
        """Return the response for an unknown path or method."""
        page_request = self._blank(request)
        with contextlib.suppress(PearlError):
            page_request = await in_thread(lambda: self._known(page_request))
        status = error.status_code if isinstance(error, HTTPException) else 404
        if status == 405:
            return await self.refuse(page_request, Conflict(text("This page does not accept forms")))
        return await self.refuse(
            page_request, NotFound(text("There is nothing at {path}", path=page_request.path[:200]))
        )

    async def refuse(
        self, page_request: PageRequest, error: PearlError, page: ConsolePage | None = None
    ) -> Response:
        """Return an error page, or a redirect to sign-in if the visitor must sign in."""
        if error.status >= 500 and error.status != 503:
            return await self.broken(page_request, error)
        is_public = page is not None and page.public
        if isinstance(error, Unauthenticated) and not is_public and page_request.part is None:
            to = page_request.path if page_request.path != "/" else ""
            answer = Response(
                status_code=303, headers={"location": "/sign-in" + (f"?next={quote(to)}" if to else "")}
            )
            cookies.put(answer, cookies.SESSION, None, secure=page_request.secure)
            return _strict(answer)
        view = View("error.html", {"problem": error}, error.status)
        answer = await in_thread(lambda: self._respond(replace(page_request, part=None), None, view))
        if error.retry_after_s is not None:
            answer.headers["retry-after"] = str(error.retry_after_s)
        return answer

    async def broken(self, page_request: PageRequest, error: Exception) -> Response:
        """Return the page for an unexpected error: logged with its traceback, shown without internals."""
        log.error("unexpected", path=page_request.path, exc_info=error)
        view = View("broken.html", {}, 500)
        return await in_thread(lambda: self._respond(replace(page_request, part=None), None, view))

    # -- authentication

    def _blank(self, request: Request) -> PageRequest:
        secure = request.url.scheme == "https"
        kept = request.cookies
        language = kept.get(cookies.LANGUAGE)
        if language not in ("en", "zh-CN"):
            language = pick_language(request.headers.get("accept-language"))
        return PageRequest(
            center=self._center,
            language=language,
            path=request.url.path,
            path_params={name: str(value).replace("\0", "") for name, value in request.path_params.items()},
            query={name: value.replace("\0", "") for name, value in request.query_params.items()},
            lists={
                name: [value.replace("\0", "") for value in request.query_params.getlist(name)]
                for name in request.query_params
            },
            peer=request.client.host if request.client else "-",
            part=request.headers.get("x-part"),
            if_none_match=request.headers.get("if-none-match", ""),
            secure=secure,
            origin=f"{request.url.scheme}://{request.url.netloc}",
            cookies=kept,
            credential=kept.get(cookies.session_name(secure), ""),
        )

    def _known(self, page_request: PageRequest) -> PageRequest:
        if not page_request.credential:
            return page_request
        try:
            actor = authenticate(page_request.store, page_request.credential, peer=page_request.peer)
        except Unauthenticated:
            return replace(page_request, credential="")
        if actor.session_id is None:  # an API key in the cookie does not sign in
            return replace(page_request, credential="", actor=NOBODY)
        memberships = tuple(list_memberships(page_request.store, actor))
        return replace(
            page_request,
            actor=actor,
            memberships=memberships,
            chosen_org=_chosen(page_request, actor.operator_roles, memberships),
        )

    # -- forms

    async def _act(self, page: ConsolePage, page_request: PageRequest, request: Request) -> Response:
        cookies.check_origin(request.headers, request.url.netloc)
        form = await _form(request, page)
        try:
            page_request = _about_its_page(
                _with_form(page_request, form, await _files(form)), str(form.get("page_org", ""))
            )
        finally:
            await form.close()
        if page_request.credential:
            cookies.check_token(page_request.credential, str(form.get("token", "")))
        action = page.actions.get(str(form.get("do", "")))
        if action is None:
            raise InvalidInput(text("The form names no action of this page"))
        return await in_thread(lambda: self._run(page, action, page_request))

    def _run(
        self, page: ConsolePage, action: Callable[[PageRequest], PageResponse], page_request: PageRequest
    ) -> Response:
        try:
            return self._respond(page_request, page, action(page_request))
        except Replayed:
            return self._respond(page_request, page, Redirect(page_request.path, text("It was already done")))
        except PearlError as error:
            if error.status >= 500 or (isinstance(error, Unauthenticated) and not page.public):
                raise
            failed = replace(page_request, error=error)
            shown = page.show(failed)
            return self._respond(
                failed, page, replace(shown, status=error.status) if isinstance(shown, View) else shown
            )

    # -- responses

    def _respond(self, page_request: PageRequest, page: ConsolePage | None, answer: PageResponse) -> Response:
        if isinstance(answer, View):
            return self._page(page_request, page, answer)
        if isinstance(answer, Redirect):
            found = Response(status_code=303, headers={"location": quote(answer.to, safe=ADDRESS_SIGNS)})
            for name, value in answer.cookies.items():
                cookies.put(found, name, value, secure=page_request.secure)
            if answer.notice is not None:
                cookies.put(
                    found, cookies.NOTICE, cookies.write_notice(answer.notice), secure=page_request.secure
                )
            return _strict(found)
        if isinstance(answer, RawResponse):
            return _strict(
                Response(answer.content, media_type=answer.media_type, headers=dict(answer.headers))
            )
        return _download(answer)

    def _page(self, page_request: PageRequest, page: ConsolePage | None, view: View) -> Response:
        notice = (
            cookies.read_notice(page_request.cookies.get(cookies.NOTICE))
            if page_request.part is None
            else None
        )
        body = self._renderer.render(page_request, page, view, notice)
        found = Response(body, status_code=view.status, media_type="text/html; charset=utf-8")
        if page_request.part is not None:
            tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
            if tag == page_request.if_none_match and view.status == 200:
                found = Response(status_code=304)
            found.headers["etag"] = tag
        if notice is not None:
            cookies.put(found, cookies.NOTICE, None, secure=page_request.secure)
        if "org" in page_request.query and page_request.chosen_org and not page_request.is_operator():
            cookies.put(found, cookies.ORG, page_request.chosen_org, secure=page_request.secure)
        return _strict(found)


async def in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call in a thread."""
    return await anyio.to_thread.run_sync(call)


def once(page_request: PageRequest) -> Store:
    """Return a store that writes once for this form, however often it is sent."""
    if not page_request.once:
        return page_request.store
    seen = fingerprint(
        "FORM",
        page_request.path,
        "\n".join(f"{k}={v}" for k, v in sorted(page_request.form.items())).encode(),
    )
    if page_request.store.sealer is not None:
        seen = page_request.store.sealer.mac(seen.encode())
    return page_request.store.once(
        OnceClaim(page_request.actor.label, f"form-{page_request.once}"[:255], seen, lambda _: b"")
    )


def _admit(page: ConsolePage, page_request: PageRequest) -> None:
    if page.public:
        return
    if not page_request.credential:
        raise Unauthenticated(text("Please sign in"))
    if page.scope is None:
        return
    allowed = (
        page_request.actor.may(page.scope)
        if page.at_center
        else page.scope in page_request.actor.all_scopes()
    )
    if not allowed:
        raise page_request.actor.lacks(page.scope)


def _chosen(
    page_request: PageRequest, roles: frozenset[object], memberships: tuple[object, ...]
) -> str | None:
    wanted = page_request.query.get("org", page_request.cookies.get(cookies.ORG)) or None
    if wanted is None or len(wanted) > 80:
        return None
    if roles:
        return wanted if "org" in page_request.query else None
    return wanted if wanted in {member.org_slug for member in memberships} else None  # type: ignore[attr-defined]


async def _form(request: Request, page: ConsolePage) -> FormData:
    encoded = check_encoding(request.scope)
    if encoded is not None:
        raise encoded
    limit = max(FORM_BYTES_MAX, page.upload_bytes_max)
    declared = request.headers.get("content-length", "")
    if not (declared.isascii() and declared.isdigit() and len(declared) < 16):
        raise InvalidInput(text("The form has no Content-Length"))
    if int(declared) > limit:
        raise TooLarge(text("The form is larger than {limit} bytes", limit=limit))
    try:
        return await request.form(
            max_files=20 if page.upload_bytes_max else 0, max_fields=FIELDS_MAX, max_part_size=limit
        )
    except HTTPException as error:
        raise InvalidInput(
            text("The form cannot be read: {problem}", problem=str(error.detail)[:200])
        ) from None


async def _files(form: FormData) -> dict[str, FormFile]:
    found = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and value.filename:
            found[name] = FormFile(value.filename, await value.read())
    return found


def _with_form(page_request: PageRequest, form: FormData, files: dict[str, FormFile]) -> PageRequest:
    pairs = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    if any("\0" in value or any(0xD800 <= ord(c) <= 0xDFFF for c in value) for _, value in pairs):
        raise InvalidInput(text("The form contains a NUL character"))
    plain = dict(pairs)
    lists = {name: [v for v in form.getlist(name) if isinstance(v, str)] for name in form}
    hidden = ("token", "do", "once", "page_org")
    shown = {name: value for name, value in plain.items() if name not in hidden}
    return replace(
        page_request,
        form=shown,
        lists=dict(page_request.lists) | lists,
        files=files,
        once=plain.get("once", "")[:80],
    )


def _about_its_page(page_request: PageRequest, org: str) -> PageRequest:
    """Return the request with the organisation that the form's page showed, even if another tab has changed it since.

    Raises Conflict if the visitor is no longer a member of it, so that no form acts in another organisation.
    """
    if not org or page_request.is_operator():
        return page_request
    if org not in {member.org_slug for member in page_request.memberships}:
        raise Conflict(
            text("You are no longer a member of {org}", org=org[:80]), hint=text("Open the page again")
        )
    return replace(page_request, chosen_org=org)


def _download(answer: Download) -> Response:
    shown = answer.is_shown and answer.media_type in SHOWN
    headers = {
        "content-disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(answer.name.rpartition('/')[2], safe='')}"
    }
    found: Response
    if isinstance(answer.content, bytes):
        found = Response(answer.content, media_type=answer.media_type, headers=headers)
    elif isinstance(answer.content, str):
        found = FileResponse(answer.content, media_type=answer.media_type, headers=headers)
    else:
        found = StreamingResponse(answer.content, media_type=answer.media_type, headers=headers)
    _strict(found)
    found.headers["content-security-policy"] = DOWNLOAD_CSP
    return found


def _strict(answer: Response) -> Response:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer
