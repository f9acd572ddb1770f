"""Routes of Git LFS: which objects to send, and receiving them whole or in parts."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from starlette.responses import Response

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.contents import has_content, refuse_too_much, stage_blob
from pearlstreet.hub.model import RepoKind, Repository
from pearlstreet.hub.names import check_sha256
from pearlstreet.hubapi.call import SLOTS, Call, answer, in_thread, list_of, parse_object, text_of
from pearlstreet.hubapi.part_files import PartHashes, absent_parts, open_part, publish
from pearlstreet.objects.model import Blob
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor

OBJECTS_MAX = 1000
PART_BYTES = 64 << 20
"""Bytes of a part of a file that is larger than this."""
PARTS_MAX = 10_000
MEDIA_TYPE = "application/vnd.git-lfs+json"
HASHES = PartHashes()


async def batch(call: Call) -> Response:
    """Say for each object how to send or get it."""
    actor = await call.actor()
    body = parse_object(await call.body(4 << 20))
    upload = text_of(body, "operation") == "upload"
    objects = [(check_sha256(one.get("oid")), _size(one)) for one in list_of(body, "objects", OBJECTS_MAX)]
    offered = body.get("transfers") or ["basic"]
    multipart = isinstance(offered, list) and "multipart" in offered

    def read(tx: Tx) -> tuple[Repository, list[bool]]:
        repo = find_repo(tx, actor, call.kind, call.name, write=upload, download=not upload)
        known = [has_content(tx, actor, repo, oid) == size for oid, size in objects]
        missing = sum(size for (_, size), there in zip(objects, known, strict=True) if not there)
        if upload and missing:
            refuse_too_much(tx, call.hub, repo, missing)
        return repo, known

    _, known = await in_thread(lambda: call.store.read(read))
    answered = [
        _object(call, actor, oid, size, there, upload, multipart)
        for (oid, size), there in zip(objects, known, strict=True)
    ]
    response = answer({"transfer": "multipart" if multipart else "basic", "objects": answered})
    response.headers["content-type"] = MEDIA_TYPE
    return response


def _size(value: dict[str, Any]) -> int:
    size = value.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 50:
        raise _wrong("size", text("size must be a number of bytes"))
    return size


def _object(
    call: Call, actor: Actor, oid: str, size: int, there: bool, upload: bool, multipart: bool
) -> dict[str, object]:
    facts: dict[str, object] = {"oid": oid, "size": size, "authenticated": True}
    if not upload:
        facts["error"] = {"code": 422, "message": "Download files by their path: resolve/REVISION/PATH"}
        return facts
    if there:
        return facts
    if size > call.hub.settings.upload_bytes_max:
        facts["error"] = {"code": 413, "message": "The file is larger than this center allows"}
        return facts
    token, _ = call.sign(actor, kind=call.kind.value, repo=call.name, oid=oid, size=size)
    base = f"{call.base_url}/lfs/{token}"
    send: dict[str, object] = {"href": base}
    if multipart and size > PART_BYTES:
        count = -(-size // PART_BYTES)
        parts = {f"{number:05d}": f"{base}/{number}" for number in range(1, count + 1)}
        send = {"href": f"{base}/complete", "header": {"chunk_size": str(PART_BYTES), **parts}}
    facts["actions"] = {"upload": send, "verify": {"href": f"{base}/verify"}}
    return facts


async def _granted(call: Call) -> tuple[Actor, Repository, str, int]:
    """Return the caller of a link, its repository, and the object's SHA-256 and size, if the caller may still write."""
    actor, facts = await call.signed(call.at["token"])
    kind = RepoKind(facts["kind"])
    repo = await in_thread(
        lambda: call.store.read(lambda tx: find_repo(tx, actor, kind, facts["repo"], write=True))
    )
    return actor, repo, facts["oid"], facts["size"]


async def put(call: Call) -> Response:
    """Receive an object as a whole."""
    _, repo, oid, size = await _granted(call)
    digest = hashlib.sha256()
    async with SLOTS, call.received(size, digest) as file:
        blob = Blob(digest.hexdigest(), file.stat().st_size)
        if (blob.sha256, blob.size_bytes) != (oid, size):
            raise _other_bytes(blob.sha256)
        await in_thread(lambda: _keep(call, repo, file, blob))
        await in_thread(lambda: stage_blob(call.store, repo, blob))
    return answer({}, headers={"etag": f'"{oid}"'})


async def put_part(call: Call) -> Response:
    """Receive a part of an object."""
    _, repo, oid, size = await _granted(call)
    number = int(call.at["part"]) if re.fullmatch(r"\d{1,5}", call.at["part"]) else 0
    if not 1 <= number <= min(-(-size // PART_BYTES), PARTS_MAX):
        raise NotFound(text("There is no such part"))
    expected = min(PART_BYTES, size - (number - 1) * PART_BYTES)
    call.hub.create()
    async with SLOTS:
        with open_part(HASHES, _file(call, repo, oid), number, PART_BYTES) as part:
            received = await call.receive(part.write, expected)
            if received != expected:
                raise _wrong("body", text("The part has {size} bytes less", size=expected - received))
    return answer({}, headers={"etag": f'"{oid[:32]}-{number}"'})


async def complete(call: Call) -> Response:
    """Publish an object whose parts have arrived."""
    _, repo, oid, size = await _granted(call)
    list_of(parse_object(await call.body(4 << 20)), "parts", PARTS_MAX)
    file = _file(call, repo, oid)
    absent = [str(number) for number in absent_parts(file, -(-size // PART_BYTES))]
    if absent:
        raise _wrong("parts", text("The parts {parts} have not arrived", parts=", ".join(absent[:20])))

    def keep(path: Path, blob: Blob) -> None:
        _keep(call, repo, path, blob)
        stage_blob(call.store, repo, blob)

    found = await in_thread(lambda: publish(HASHES, file, size, PART_BYTES, keep, oid))
    if found != oid:
        raise _other_bytes(found)
    return answer({})


async def verify(call: Call) -> Response:
    """Check that an object has arrived."""
    actor, repo, oid, size = await _granted(call)
    found = await in_thread(lambda: call.store.read(lambda tx: has_content(tx, actor, repo, oid)))
    if found != size:
        raise NotFound(text("The content has not arrived"))
    return answer({})


def _keep(call: Call, repo: Repository, file: Path, blob: Blob) -> None:
    call.store.read(lambda tx: refuse_too_much(tx, call.hub, repo, blob.size_bytes))
    call.hub.blobs.keep_file(file, blob, call.new_name())


def _file(call: Call, repo: Repository, oid: str) -> Path:
    """Return the file of an upload in parts: one for each link, so that nobody writes into another's."""
    link = hashlib.sha256(call.at["token"].encode()).hexdigest()[:16]
    return call.hub.work / f"parts-{repo.id}-{oid}-{link}"


def _other_bytes(sha256: str) -> InvalidInput:
    return _wrong("body", text("The bytes have the SHA-256 {sha256}", sha256=sha256))


def _wrong(field: str, message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem(field, message)])
