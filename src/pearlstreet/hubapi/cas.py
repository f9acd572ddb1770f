"""Routes of Xet's content-addressed storage: tokens, known chunks, xorbs, shards and reconstruction."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import structlog
from starlette.responses import Response, StreamingResponse

from pearlstreet.base.errors import Forbidden, NotFound, PearlError, TooLarge, Unauthenticated
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.downloads import record_download
from pearlstreet.hub.model import MAIN, RepoKind, Repository, RevisionNotFound
from pearlstreet.hub.revisions import find_revision
from pearlstreet.hub.xet.hashes import hash_bytes
from pearlstreet.hub.xet.recipe import find_xorb
from pearlstreet.hub.xet.reconstruction import plan_reconstruction
from pearlstreet.hub.xet.service import find_dedup_shard, register_shard, store_xorb
from pearlstreet.hub.xet.shard import SHARD_BYTES_MAX
from pearlstreet.hub.xet.xorb import XORB_BYTES_MAX
from pearlstreet.hubapi.call import SLOTS, Call, answer, in_thread, parse_range
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor

FRAME_S = 2.0
"""Seconds between lines that tell the progress of a shard."""
log = structlog.get_logger("hubapi")
_HASH = re.compile(r"[0-9a-f]{64}")


async def token(call: Call) -> Response:
    """Return a short-lived token for the storage, bound to one repository."""
    actor, write = await call.actor(), call.at["right"] == "write"

    def read(tx: Tx) -> str:
        repo = find_repo(tx, actor, call.kind, call.name, write=write, download=not write)
        try:
            return find_revision(tx, repo.id, call.at["rev"]).commit.id
        except RevisionNotFound:
            # Clients that write may name no revision, or one that does not exist yet.
            return find_revision(tx, repo.id, MAIN).commit.id

    commit_id = await in_thread(lambda: call.store.read(read))
    facts = {"kind": call.kind.value, "repo": call.name, "xet": call.at["right"], "commit": commit_id}
    made, expires_s = call.sign(actor, **facts)
    url = f"{call.base_url}/xet"
    headers = {
        "x-xet-cas-url": url,
        "x-xet-access-token": made,
        "x-xet-token-expiration": str(expires_s),
    }
    return answer({"casUrl": url, "accessToken": made, "exp": expires_s}, headers=headers)


async def _granted(call: Call, *, write: bool) -> tuple[Actor, Repository, dict[str, Any]]:
    """Return caller, repository and facts of a token, if the caller still has the right."""
    scheme, _, said = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(text("This needs a token"))
    actor, facts = await call.signed(said.strip())
    if "xet" not in facts or (write and facts["xet"] != "write"):
        raise Forbidden(text("The token is for reading only"))
    kind = RepoKind(facts["kind"])
    repo = await in_thread(
        lambda: call.store.read(
            lambda tx: find_repo(tx, actor, kind, facts["repo"], write=write, download=not write)
        )
    )
    return actor, repo, facts


def _hash(call: Call) -> str:
    if not _HASH.fullmatch(call.at["hash"]):
        raise NotFound(text("That is not a hash"))
    return call.at["hash"]


async def chunks(call: Call) -> Response:
    """Tell the chunks beside a known one, so that a client need not send them."""
    actor, repo, _ = await _granted(call, write=False)
    data = await in_thread(lambda: find_dedup_shard(call.store, call.hub, actor, repo, _hash(call)))
    return Response(data, media_type="application/octet-stream")


async def put_xorb(call: Call) -> Response:
    """Receive a xorb."""
    _, repo, _ = await _granted(call, write=True)
    claimed = _hash(call)
    async with SLOTS, call.received(XORB_BYTES_MAX + (1 << 20)) as file:
        await in_thread(lambda: store_xorb(call.store, call.hub, repo, claimed, file, call.new_name()))
    return answer({"was_inserted": True})


async def _shard(call: Call) -> tuple[Actor, Repository, bytes]:
    actor, repo, _ = await _granted(call, write=True)
    try:
        return actor, repo, await call.body(SHARD_BYTES_MAX)
    except TooLarge:
        raise TooLarge(text("The shard is larger than {limit} bytes", limit=SHARD_BYTES_MAX)) from None


async def put_shard(call: Call) -> Response:
    """Register the files of a shard."""
    actor, repo, data = await _shard(call)
    await in_thread(lambda: register_shard(call.store, call.hub, actor, repo, data))
    return answer({"result": 1})


async def put_shard_with_progress(call: Call) -> Response:
    """Register the files of a shard; lines of JSON tell the progress, since hashing a large file takes minutes."""
    actor, repo, data = await _shard(call)
    hashed = [0, 0]

    def tell(done: int, total: int) -> None:
        hashed[:] = [done, total]

    work = asyncio.ensure_future(
        in_thread(lambda: register_shard(call.store, call.hub, actor, repo, data, tell))
    )
    # A quick refusal still gets the right status.
    await asyncio.wait([work], timeout=FRAME_S)
    if work.done():
        work.result()

    async def frames() -> AsyncIterator[bytes]:
        while not work.done():
            yield _frame(type="validating", verified=hashed[0], total=hashed[1])
            await asyncio.wait([work], timeout=FRAME_S)
        error = work.exception()
        if error is None:
            yield _frame(type="result", result=1)
        elif isinstance(error, PearlError) and error.status < 500:
            yield _frame(type="error", message=error.message.render("en"), retryable=False)
        else:
            log.error("unexpected", path=call.request.url.path, exc_info=error)
            yield _frame(type="error", message="An internal error occurred", retryable=True)

    return StreamingResponse(frames(), media_type="application/x-ndjson")


def _frame(**values: object) -> bytes:
    return json.dumps(values).encode() + b"\n"


async def reconstruction(call: Call) -> Response:
    """Tell a client which ranges of xorbs make a file, or a range of it, with links that are valid for an hour."""
    if call.at["version"] not in ("v1", "v2"):
        raise NotFound(text("Reconstructions have the versions v1 and v2"))
    actor, repo, facts = await _granted(call, write=False)
    asked = call.request.headers.get("range")
    found = parse_range(asked, 1 << 62) if asked is not None else (0, None)
    if found is None or found == (-1, -1):
        return Response(status_code=416)
    start, end = found
    try:
        plan = await in_thread(
            lambda: plan_reconstruction(call.store, call.hub, repo, _hash(call), start, end)
        )
    except NotFound:
        if not start:
            raise
        return Response(status_code=416)
    await in_thread(lambda: record_download(call.store, actor, repo, str(facts["commit"]), plan.size_bytes))
    terms = [
        {
            "hash": term.xorb,
            "unpacked_length": term.raw_bytes,
            "range": {"start": term.first, "end": term.end},
        }
        for term in plan.terms
    ]
    fetches: dict[str, list[dict[str, object]]] = {}
    for fetch in plan.fetches:
        signed, _ = call.sign(
            actor, **{name: facts[name] for name in ("kind", "repo")},
            xorb=fetch.xorb, start=fetch.start, end=fetch.end, by_token=True,
        )  # fmt: skip
        chunks = {"start": fetch.first, "end": fetch.last}
        place = {"start": fetch.start, "end": fetch.end - 1}
        url = f"{call.base_url}/xet/v1/data/{signed}"
        one: dict[str, object] = {"range": chunks, "url": url, "url_range": place}
        if call.at["version"] == "v2":
            one = {"url": url, "ranges": [{"chunks": chunks, "bytes": place}]}
        fetches.setdefault(fetch.xorb, []).append(one)
    name = "xorbs" if call.at["version"] == "v2" else "fetch_info"
    return answer({"offset_into_first_range": plan.offset_bytes, "terms": terms, name: fetches})


async def data(call: Call) -> Response:
    """Send the bytes of an xorb that a link was made for; a range may narrow them."""
    actor, facts = await call.signed(call.at["token"])
    if "xorb" not in facts:
        raise Unauthenticated(text("The link or token is wrong"))
    kind = RepoKind(facts["kind"])
    await in_thread(
        lambda: call.store.read(lambda tx: find_repo(tx, actor, kind, facts["repo"], download=True))
    )
    row = await in_thread(lambda: find_xorb(call.store, hash_bytes(facts["xorb"])))
    start, end = int(facts["start"]), int(facts["end"])
    asked = call.request.headers.get("range")
    if asked is not None:
        found = parse_range(asked, end)
        if found is None or found[0] < start:
            return Response(status_code=416, headers={"content-range": f"bytes */{end}"})
        start, end = found
    parts = await in_thread(lambda: call.hub.blobs.read(str(row["sha256"]), start=start, length=end - start))
    headers = {
        "content-length": str(end - start),
        "content-range": f"bytes {start}-{end - 1}/{row['body_bytes']}",
    }
    return StreamingResponse(parts, 206, headers, media_type="application/octet-stream")
