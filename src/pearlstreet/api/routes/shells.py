"""Routes to run commands inside the tasks of running jobs: open, read, write, resize, close."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from pearlstreet.api.models import In, Out
from pearlstreet.api.request_inputs import too_large
from pearlstreet.api.routing import (
    CurrentActor,
    SecuredRouter,
    Tied,
    center_of,
    command,
    in_thread,
    peer_of,
    query,
)
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.compute.engines.shells import COLUMNS, ROWS, ShellOrder
from pearlstreet.http.stream_limiter import LimitedStream
from pearlstreet.services.shells import DEFAULT_COMMAND, OpenShell, ShellsService
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/jobs", "jobs")
INPUT_BYTES = 64 << 10
"""Largest input of one request."""
CHECK_S = 5.0
"""Interval at which a stream checks that its caller still has the right to the shell."""
Side = Annotated[int, Field(ge=1, le=1000)]


class ShellIn(In):
    """A command to run inside a task."""

    command: list[Annotated[str, Field(max_length=60_000)]] = Field(
        default_factory=list,
        max_length=256,
        description="By default a shell: bash if the task has it, else sh",
    )
    rank: int = Field(0, ge=0, le=1_000_000, description="Rank of the task in its gang")
    terminal: bool = Field(False, description="Whether the command gets a terminal instead of pipes")
    columns: Side = COLUMNS
    rows: Side = ROWS
    term: str = Field("xterm-256color", max_length=60, pattern="^[A-Za-z0-9._+-]+$", description="$TERM")


class ShellOut(Out):
    """A command that somebody runs inside a task. Only who opened it sees it."""

    id: str
    job_id: str
    rank: int
    command: list[str]
    terminal: bool
    ended: bool
    exit_code: int | None
    """Exit code of the command; null while the command runs, and if the shell was closed before the command ended."""


def shell_out(shell: OpenShell) -> dict[str, object]:
    """Return a shell as a ShellOut."""
    return {
        "id": shell.id,
        "job_id": shell.job_id,
        "rank": shell.rank,
        "command": list(shell.order.command),
        "terminal": shell.order.terminal,
        "ended": shell.is_over,
        "exit_code": shell.exit_code,
    }


@router.post(
    "/{job}/shells",
    tie=Tied.PROJECT,
    scope="jobs:exec",
    location="/jobs/{job_id}/shells/{id}",
    status_code=201,
    responses={201: {"model": ShellOut}},
)
async def open_job_shell(
    request: Request,
    job: str,
    shells: ShellsService,
    body: ShellIn | None = None,
    actor: Actor = CurrentActor,
) -> Response:
    """Run a command inside a task of a running job. It is written to the audit log."""
    wanted = body or ShellIn.model_validate({})
    order = _order(wanted)
    return await command(
        request,
        actor,
        lambda store: shells.on(store).open_shell(actor, job, wanted.rank, order),
        shell_out,
        status=201,
    )


def _order(body: ShellIn) -> ShellOrder:
    words = tuple(body.command) or DEFAULT_COMMAND
    if not words[0] or any("\0" in word for word in words):
        message = text("A command has a name, and no NUL character")
        raise InvalidInput(message, problems=[Problem("command", message)])
    return ShellOrder(words, body.terminal, body.columns, body.rows, body.term)


class ConnectIn(In):
    """A port of a service."""

    port: str = Field("", max_length=40, description="Name of the port; may be left out if there is one only")
    rank: int = Field(0, ge=0, le=1_000_000, description="Rank of the task in its gang")


@router.post(
    "/{job}/connections",
    tie=Tied.PROJECT,
    scope="jobs:exec",
    location="/jobs/{job_id}/shells/{id}",
    status_code=201,
    responses={201: {"model": ShellOut}},
)
async def connect_job_port(
    request: Request,
    job: str,
    shells: ShellsService,
    body: ConnectIn | None = None,
    actor: Actor = CurrentActor,
) -> Response:
    """Open a connection to a port of a running service. It is read, written and closed as a shell, and written to the audit log."""
    wanted = body or ConnectIn.model_validate({})
    return await command(
        request,
        actor,
        lambda store: shells.on(store).connect_port(actor, job, wanted.rank, wanted.port),
        shell_out,
        status=201,
    )


@router.get(
    "/{job}/shells/{shell}", tie=Tied.PROJECT, scope="jobs:exec", responses={200: {"model": ShellOut}}
)
async def get_job_shell(job: str, shell: str, shells: ShellsService, actor: Actor = CurrentActor) -> Response:
    """Get a shell: whether its command has ended, and its exit code."""
    return await query(lambda: shells.find_shell(actor, job, shell), shell_out)


class OutputResponse(StreamingResponse):
    """The output of a shell."""

    media_type = "application/octet-stream"


@router.get(
    "/{job}/shells/{shell}/output",
    tie=Tied.PROJECT,
    scope="jobs:exec",
    response_class=OutputResponse,
    responses={
        200: {"content": {OutputResponse.media_type: {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def read_job_shell(
    request: Request,
    job: str,
    shell: str,
    shells: ShellsService,
    actor: Actor = CurrentActor,
    offset: Annotated[
        int,
        Query(
            ge=0,
            le=1 << 62,
            description="Byte offset to read from. While the command runs, the server deletes the bytes before it",
        ),
    ] = 0,
) -> Response:
    """Read what a shell's command writes, as it comes, until its end."""
    center = center_of(request)
    find = partial(shells.find_shell, actor, job, shell)
    found = await in_thread(find)
    ticket = center.streams.open(actor.user_id or actor.label, peer_of(request))
    return LimitedStream(
        _output(found, offset, find),
        limiter=center.streams,
        ticket=ticket,
        media_type=OutputResponse.media_type,
        headers={"x-accel-buffering": "no"},
    )


async def _output(shell: OpenShell, offset: int, find: Callable[[], OpenShell]) -> AsyncIterator[bytes]:
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(changed.set)

    check_at_s = loop.time() + CHECK_S
    with shell.calling_on_change(wake):
        while True:
            changed.clear()
            is_over = shell.is_over  # before the read: what came before the end is read
            begin, data = shell.read(offset)
            offset = begin + len(data)
            if data:
                yield data
            elif is_over:
                return
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), CHECK_S)
            if loop.time() >= check_at_s:
                await in_thread(find)  # a right that was taken away ends the stream
                check_at_s = loop.time() + CHECK_S


class InputOut(Out):
    """How much input the command has taken."""

    offset: int


@router.post(
    "/{job}/shells/{shell}/input",
    tie=Tied.PROJECT,
    scope="jobs:exec",
    responses={200: {"model": InputOut}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def write_job_shell(
    request: Request,
    job: str,
    shell: str,
    shells: ShellsService,
    actor: Actor = CurrentActor,
    offset: Annotated[
        int, Query(ge=0, le=1 << 62, description="Position of the first byte; bytes taken before are skipped")
    ] = 0,
    end: Annotated[bool, Query(description="Whether these are the last bytes; not for terminals")] = False,
) -> Response:
    """Give input to a shell's command: keys of a terminal, or bytes of a pipe."""
    find = partial(shells.find_shell, actor, job, shell)
    data = await request.body()
    if len(data) > INPUT_BYTES:
        raise too_large(INPUT_BYTES)

    return await query(
        lambda: find().write(offset, data, is_last=end),
        lambda taken: {"offset": taken},
    )


class SizeIn(In):
    """The size of a terminal, in characters."""

    columns: Side
    rows: Side


@router.put(
    "/{job}/shells/{shell}/size", tie=Tied.PROJECT, scope="jobs:exec", responses={200: {"model": ShellOut}}
)
async def resize_job_shell(
    job: str, shell: str, body: SizeIn, shells: ShellsService, actor: Actor = CurrentActor
) -> Response:
    """Tell a shell's command the size of its terminal."""
    find = partial(shells.find_shell, actor, job, shell)

    def resize() -> OpenShell:
        found = find()
        found.resize(body.columns, body.rows)
        return found

    return await query(resize, shell_out)


@router.delete(
    "/{job}/shells/{shell}", tie=Tied.PROJECT, scope="jobs:exec", responses={200: {"model": ShellOut}}
)
async def close_job_shell(
    job: str, shell: str, shells: ShellsService, actor: Actor = CurrentActor
) -> Response:
    """Close a shell: its command is ended, the job goes on."""
    find = partial(shells.find_shell, actor, job, shell)

    def close() -> OpenShell:
        found = find()
        found.close()
        return found

    return await query(close, shell_out)
