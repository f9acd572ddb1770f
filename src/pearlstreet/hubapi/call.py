"""One request: its path segments, caller, parameters and body, with limits on each."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.errors import InvalidInput, Problem, TooLarge, Unauthenticated
from pearlstreet.base.ids import new_id
from pearlstreet.base.text import text
from pearlstreet.center import Center
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import RepoKind
from pearlstreet.store.core import Store, must_be_sealed
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import Actor

T = TypeVar("T")
PIECE_BYTES = 1 << 20
"""Bytes of a body that are written at once."""
PREFIX = "/hf"
JSON_BYTES_MAX = 4 << 20
KINDS: Mapping[str, RepoKind] = {
    "models": RepoKind.MODEL,
    "datasets": RepoKind.DATASET,
    "recipes": RepoKind.RECIPE,
}
"""Types of repositories by their name in paths."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
LINK_S = 3600
"""Time in seconds for which a link or token of an upload is valid; the key that it came from is checked at each use."""


class Digest(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


@dataclass(frozen=True)
class Call:
    """One request to a route."""

    request: Request
    center: Center
    at: Mapping[str, str] = field(default_factory=dict)
    """Path segments by name."""

    @property
    def store(self) -> Store:
        """The center's store."""
        return self.center.store

    @property
    def hub(self) -> Hub:
        """The center's hub."""
        return self.center.hub

    @property
    def kind(self) -> RepoKind:
        """Type of the repository in the path."""
        return KINDS[self.at["kind"]]

    @property
    def name(self) -> str:
        """Full name of the repository in the path."""
        return f"{self.at['org']}/{self.at['name']}"

    @property
    def base_url(self) -> str:
        """URL of the hub as the client reaches it."""
        url = self.request.url
        return (self.center.public_url or f"{url.scheme}://{url.netloc}") + PREFIX

    def repo_url(self, kind: RepoKind, name: str) -> str:
        """Return the URL of a repository.

        Clients before 1.0 take the segment before the organisation for the type, so models have an empty one.
        """
        folder = "" if kind is RepoKind.MODEL else f"{kind.value}s"
        return f"{self.base_url}/{folder}/{name}"

    async def actor(self) -> Actor:
        """Return the caller. Raises Unauthenticated."""
        scheme, _, credential = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential.strip():
            raise Unauthenticated(
                text("This needs an API key"), hint=text("Set HF_TOKEN to a key of: pearl keys create")
            )
        found = await in_thread(lambda: authenticate(self.store, credential.strip()))
        if "hub:read" not in found.all_scopes():
            raise found.lacks("hub:read")
        return found

    async def json(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises InvalidInput, TooLarge."""
        body = await self.body(JSON_BYTES_MAX)
        return parse_object(body or b"{}")

    async def body(self, limit: int) -> bytes:
        """Return the body in memory. Raises TooLarge."""
        parts, size = [], 0
        async for part in self.request.stream():
            size += len(part)
            if size > limit:
                raise TooLarge(text("The request is larger than {limit} bytes", limit=limit))
            parts.append(part)
        return b"".join(parts)

    async def receive(self, sink: Callable[[bytes], object], limit: int) -> int:
        """Give the body to `sink` in pieces, in a thread if it is large; return its size. Raises TooLarge."""
        parts: list[bytes] = []
        size = waiting = 0
        async for part in self.request.stream():
            size += len(part)
            waiting += len(part)
            if size > limit:
                raise TooLarge(text("The file is larger than {limit} bytes", limit=limit))
            parts.append(part)
            if waiting >= PIECE_BYTES:
                piece = b"".join(parts)
                parts, waiting = [], 0
                await in_thread(partial(sink, piece))
        if waiting:
            sink(b"".join(parts))
        return size

    @asynccontextmanager
    async def received(self, limit: int, digest: Digest | None = None) -> AsyncIterator[Path]:
        """Receive the body into a temporary file, which is deleted at the end, and hash it. Raises TooLarge."""
        self.hub.create()
        path = self.hub.work / self.new_name()
        try:
            with path.open("wb", buffering=0) as file:

                def sink(piece: bytes) -> None:
                    file.write(piece)
                    if digest is not None:
                        digest.update(piece)

                await self.receive(sink, limit)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def new_name(self) -> str:
        """Return a unique name for an unfinished file."""
        return new_id("tmp", self.store.clock, self.store.rng)

    def sign(self, actor: Actor, **facts: object) -> tuple[str, int]:
        """Return a token for links of an upload, with its end in seconds since 1970."""
        expires_s = self.store.clock.now_us() // US_PER_S + LINK_S
        credential = self.request.headers["authorization"].partition(" ")[2].strip()
        sealer = self.store.sealer
        assert sealer is not None
        if facts.pop("by_token", False):
            # The caller came with a token of ours; the key behind it signs.
            outer = credential.partition(".")[0]
            by = json.loads(base64.urlsafe_b64decode(outer + "=" * (-len(outer) % 4)))["by"]
            credential = sealer.open(base64.urlsafe_b64decode(by), "hub link").decode()
        sealed = base64.urlsafe_b64encode(sealer.seal(credential.encode(), "hub link")).decode()
        said = json.dumps({**facts, "by": sealed, "exp": expires_s}, separators=(",", ":")).encode()
        mac = self.store.read(lambda tx: must_be_sealed(tx).mac(b"hub link" + said))
        return base64.urlsafe_b64encode(said).decode().rstrip("=") + "." + mac, expires_s

    async def signed(self, token: str) -> tuple[Actor, dict[str, Any]]:
        """Return the caller and facts of a token, if it is right, has not ended, and its key still works."""
        sealer = self.store.sealer
        assert sealer is not None
        said, _, mac = token.partition(".")
        try:
            plain = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
            fine = sealer.mac_is_right(b"hub link" + plain, mac)
        except (ValueError, binascii.Error):
            fine = False
        if not fine:
            raise Unauthenticated(text("The link or token is wrong"))
        facts: dict[str, Any] = json.loads(plain)
        if facts["exp"] * US_PER_S < self.store.clock.now_us():
            raise Unauthenticated(text("The link or token has expired; begin the upload again"))
        credential = sealer.open(base64.urlsafe_b64decode(facts["by"]), "hub link").decode()
        return await in_thread(lambda: authenticate(self.store, credential)), facts


async def in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call in a thread."""
    return await anyio.to_thread.run_sync(call)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises InvalidInput."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        message = text("The body is not a JSON object")
        raise InvalidInput(message, problems=[Problem("body", message)])
    return value


def text_of(value: Mapping[str, Any], name: str, default: str = "", limit: int = 10_000) -> str:
    """Return a text of a JSON object. Raises InvalidInput."""
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, str) or len(found) > limit or "\0" in found or not _is_unicode(found):
        message = text("{name} must be text", name=name)
        raise InvalidInput(message, problems=[Problem(name, message)])
    return found


def list_of(value: Mapping[str, Any], name: str, limit: int) -> list[dict[str, Any]]:
    """Return a list of objects of a JSON object. Raises InvalidInput."""
    found = value.get(name)
    if not isinstance(found, list) or len(found) > limit or not all(isinstance(one, dict) for one in found):
        message = text("{name} must be a list of at most {limit} objects", name=name, limit=limit)
        raise InvalidInput(message, problems=[Problem(name, message)])
    return found


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive); (-1, -1) for a range outside of the file, None for one that is not understood."""
    match = _RANGE.fullmatch(value.strip())
    if match is None or value.strip() == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        count = min(int(last), size)
        return (size - count, size) if count else (-1, -1)
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return (start, end) if start < end else (-1, -1)


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def time_text(at_us: int) -> str:
    """Return a time with milliseconds, as the protocol writes it."""
    return to_rfc3339(at_us)[:23] + "Z"


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a JSON response."""
    return JSONResponse(value, status, dict(headers or {}))


SLOTS = asyncio.Semaphore(64)
"""Bodies of files that are received at once."""
