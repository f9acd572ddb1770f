"""Routes of Xet's content-addressed storage: tokens, known chunks, xorbs, shards and reconstruction."""

from __future__ import annotations

import re

from starlette.responses import Response

from pearlstreet.base.errors import Forbidden, NotFound, TooLarge, Unauthenticated
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.model import RepoKind, Repository
from pearlstreet.hub.xet.service import find_dedup_shard, register_shard, store_xorb
from pearlstreet.hub.xet.shard import SHARD_BYTES_MAX
from pearlstreet.hub.xet.xorb import XORB_BYTES_MAX
from pearlstreet.hubapi.call import SLOTS, Call, answer, in_thread
from pearlstreet.tenancy.model import Actor

_HASH = re.compile(r"[0-9a-f]{64}")


async def token(call: Call) -> Response:
    """Return a short-lived token for the storage, bound to one repository."""
    actor, write = await call.actor(), call.at["right"] == "write"
    await in_thread(
        lambda: call.store.read(
            lambda tx: find_repo(tx, actor, call.kind, call.name, write=write, download=not write)
        )
    )
    made, expires_s = call.sign(actor, kind=call.kind.value, repo=call.name, xet=call.at["right"])
    url = f"{call.base_url}/xet"
    headers = {
        "x-xet-cas-url": url,
        "x-xet-access-token": made,
        "x-xet-token-expiration": str(expires_s),
    }
    return answer({"casUrl": url, "accessToken": made, "exp": expires_s}, headers=headers)


async def _granted(call: Call, *, write: bool) -> tuple[Actor, Repository]:
    """Return caller and repository of a token, if the caller still has the right."""
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
    return actor, repo


def _hash(call: Call) -> str:
    if not _HASH.fullmatch(call.at["hash"]):
        raise NotFound(text("That is not a hash"))
    return call.at["hash"]


async def chunks(call: Call) -> Response:
    """Tell the chunks beside a known one, so that a client need not send them."""
    actor, repo = await _granted(call, write=False)
    data = await in_thread(lambda: find_dedup_shard(call.store, call.hub, actor, repo, _hash(call)))
    return Response(data, media_type="application/octet-stream")


async def put_xorb(call: Call) -> Response:
    """Receive a xorb."""
    _, repo = await _granted(call, write=True)
    claimed = _hash(call)
    async with SLOTS, call.received(XORB_BYTES_MAX + (1 << 20)) as file:
        await in_thread(lambda: store_xorb(call.store, call.hub, repo, claimed, file, call.new_name()))
    return answer({"was_inserted": True})


async def put_shard(call: Call) -> Response:
    """Register the files of a shard."""
    actor, repo = await _granted(call, write=True)
    try:
        data = await call.body(SHARD_BYTES_MAX)
    except TooLarge:
        raise TooLarge(text("The shard is larger than {limit} bytes", limit=SHARD_BYTES_MAX)) from None
    await in_thread(lambda: register_shard(call.store, call.hub, actor, repo, data))
    return answer({"result": 1})
