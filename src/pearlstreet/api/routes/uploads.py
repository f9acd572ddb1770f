"""Routes of uploads and artefacts."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import anyio
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from pearlstreet.api.models import In, Out, Time, time_of
from pearlstreet.api.paging import Cursor, Limit, Page, page, read_cursor
from pearlstreet.api.request_inputs import Org, org_of
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, command, in_thread, query
from pearlstreet.base.ids import new_id
from pearlstreet.objects.model import Blob
from pearlstreet.services.storage import StorageService, check_name
from pearlstreet.tenancy.model import Actor, login_of

router = SecuredRouter("/uploads", "files")
artefacts_router = SecuredRouter("/artefacts", "files")
WAITING_CHUNKS = 16
HAND_OVER_S = 0.002
UPLOADS_AT_ONCE = 64
SIZE_DIGITS_MAX = 18
"""Most digits of a Content-Length that is checked in advance; larger ones hit the limit while the body is read."""
OfProject = Annotated[str | None, Query(max_length=80, description="Project, by slug or id")]


class UploadOut(Out):
    """An uploaded file."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    owner: str
    at: Time
    project_id: str | None


def upload_out(row: Mapping[str, Any]) -> dict[str, object]:
    """Return an upload as an UploadOut."""
    return {name: row[name] for name in ("id", "name", "size_bytes", "sha256", "project_id")} | {
        "owner": login_of(row["owner"]),
        "at": time_of(row["at_us"]),
    }


@router.post(
    "",
    tie=Tied.PROJECT,
    scope="jobs:write",
    location="/uploads/{id}",
    status_code=201,
    responses={201: {"model": UploadOut}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def create_upload(
    request: Request,
    name: Annotated[str, Query(max_length=255, description="File name, without folders")],
    storage: StorageService,
    actor: Actor = CurrentActor,
    org: Org = None,
    project: OfProject = None,
) -> Response:
    """Upload a file as the request body. Jobs refer to it by the returned id."""
    check_name(name)
    target = org_of(actor, org)
    size = request.headers.get("content-length", "")
    said = int(size) if size.isdigit() and len(size) < SIZE_DIGITS_MAX else None
    with storage.begin_upload() as reservation:
        place = await in_thread(lambda: storage.find_place(actor, target, project, said, reservation))
        keep = partial(storage.keep_bytes, place=place, reservation=reservation)
        blob = await _receive(request, keep, new_id("tmp", storage.store.clock, storage.store.rng))
        return await command(
            request,
            actor,
            lambda store: storage.on(store).record_upload(actor, place, name, blob),
            upload_out,
            status=201,
            body=blob.sha256.encode(),
        )


def _slots(request: Request) -> anyio.CapacityLimiter:
    """Return the limiter of upload threads; they are separate so that slow senders do not block other requests."""
    state = request.app.state
    if not hasattr(state, "upload_slots"):
        state.upload_slots = anyio.CapacityLimiter(UPLOADS_AT_ONCE)
    slots: anyio.CapacityLimiter = state.upload_slots
    return slots


class _BrokenOff(Exception):
    """The client disconnected before the end of the body."""


async def _receive(request: Request, keep: Callable[[Iterator[bytes], str], Blob], name: str) -> Blob:
    """Receive the body and store it in a thread, with at most WAITING_CHUNKS chunks between them."""
    waiting: queue.Queue[bytes | _BrokenOff | None] = queue.Queue(WAITING_CHUNKS)

    def chunks() -> Iterator[bytes]:
        while (chunk := waiting.get()) is not None:
            if isinstance(chunk, _BrokenOff):
                raise chunk
            yield chunk

    writing = asyncio.ensure_future(in_thread(lambda: keep(chunks(), name), _slots(request)))

    async def hand_over(item: bytes | _BrokenOff | None) -> None:
        while not writing.done():
            if not waiting.full():  # this coroutine is the only producer, so the put cannot block
                waiting.put_nowait(item)
                return
            await asyncio.sleep(HAND_OVER_S)

    try:
        async for chunk in request.stream():
            if chunk:
                await hand_over(chunk)
            if writing.done():
                break
        await hand_over(None)
    except BaseException:
        await hand_over(_BrokenOff())
        await asyncio.wait([writing])
        writing.exception()
        raise
    return await writing


@router.get("", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": Page[UploadOut]}})
async def list_uploads(
    storage: StorageService,
    actor: Actor = CurrentActor,
    org: Org = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the uploads of an organisation, newest first."""
    target, before = org_of(actor, org), read_cursor(cursor)
    return await query(
        lambda: storage.list_uploads(actor, target, before=before, limit=limit + 1),
        lambda rows: page(rows, limit, lambda row: str(row["id"]), upload_out),
    )


@router.get("/{upload}", tie=Tied.PROJECT, scope="jobs:read", responses={200: {"model": UploadOut}})
async def get_upload(upload: str, storage: StorageService, actor: Actor = CurrentActor) -> Response:
    """Get an upload."""
    return await query(lambda: storage.find_upload(actor, upload), upload_out)


@router.delete("/{upload}", tie=Tied.PROJECT, scope="jobs:write", responses={200: {"model": UploadOut}})
async def delete_upload(
    request: Request, upload: str, storage: StorageService, actor: Actor = CurrentActor
) -> Response:
    """Delete an upload. Refused while a job that has not ended refers to it."""
    return await command(
        request, actor, lambda store: storage.on(store).delete_upload(actor, upload), upload_out
    )


class BytesResponse(StreamingResponse):
    """The bytes of a file."""

    media_type = "application/octet-stream"


@artefacts_router.get("/{artefact}", tie=Tied.PROJECT, scope="jobs:read", response_class=BytesResponse)
async def download_artefact(artefact: str, storage: StorageService, actor: Actor = CurrentActor) -> Response:
    """Download an artefact; browsers always save it and never display it."""
    row = await in_thread(lambda: storage.find_artefact(actor, artefact))
    await in_thread(lambda: storage.artefact_file(row))
    name = quote(str(row["path"]).rsplit("/", 1)[-1])
    headers = {
        "content-length": str(row["size_bytes"]),
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "x-sha256": row["sha256"],
    }
    return BytesResponse(storage.read_artefact(row), headers=headers)


class PinIn(In):
    """Whether an artefact is exempt from retention."""

    pinned: bool


class StoredArtefactOut(Out):
    """An artefact; `expires_at` null: kept without end."""

    id: str
    job_id: str
    path: str
    size_bytes: int
    pinned: bool
    expires_at: Time | None


def _artefact_out(row: Mapping[str, Any]) -> dict[str, object]:
    names = ("id", "job_id", "path", "size_bytes", "pinned")
    return {name: row[name] for name in names} | {"expires_at": time_of(row["expires_us"])}


@artefacts_router.put(
    "/{artefact}", tie=Tied.PROJECT, scope="jobs:write", responses={200: {"model": StoredArtefactOut}}
)
async def pin_artefact(
    request: Request, artefact: str, body: PinIn, storage: StorageService, actor: Actor = CurrentActor
) -> Response:
    """Exempt an artefact from retention, or end the exemption."""
    return await command(
        request,
        actor,
        lambda store: storage.on(store).pin_artefact(actor, artefact, pinned=body.pinned),
        _artefact_out,
    )


@artefacts_router.delete(
    "/{artefact}", tie=Tied.PROJECT, scope="jobs:write", responses={200: {"model": StoredArtefactOut}}
)
async def delete_artefact(
    request: Request, artefact: str, storage: StorageService, actor: Actor = CurrentActor
) -> Response:
    """Delete an artefact. Refused if it is pinned."""
    return await command(
        request, actor, lambda store: storage.on(store).delete_artefact(actor, artefact), _artefact_out
    )
