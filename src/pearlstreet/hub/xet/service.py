"""Commands of Xet: store a xorb, register a shard, and tell known chunks, each within the caller's rights."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound
from pearlstreet.base.text import Text, text
from pearlstreet.hub.access import access_to, repository, select_repos, visible_repos
from pearlstreet.hub.contents import refuse_too_much, stage
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import Repository
from pearlstreet.hub.tables import dedup_chunks, repos, segment_xorbs, xorb_grants, xorbs
from pearlstreet.hub.xet.hashes import file_hash, hash_bytes, hash_text, is_dedup_chunk
from pearlstreet.hub.xet.recipe import encode_segments, find_xorb, read_chunks, xorb_chunks
from pearlstreet.hub.xet.shard import ShardFile, build_dedup_shard, parse_shard
from pearlstreet.hub.xet.xorb import ParsedXorb, encode_index, parse_xorb, wrong
from pearlstreet.objects.model import Blob
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

PIECE = 1 << 20


def store_xorb(store: Store, hub: Hub, repo: Repository, claimed: str, file: Path, name: str) -> None:
    """Verify a received xorb and store it for a repository. Raises InvalidInput if its hash is another.

    The answer is the same whether another organisation stores it already. `name`: unique name of the unfinished blob.
    """
    if not file.stat().st_size:
        raise wrong(text("The xorb has no chunks"))
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        xorb = _parse(mapped)
        if isinstance(xorb, Text):
            raise wrong(xorb)
        if hash_text(xorb.hash) != claimed:
            raise wrong(text("The xorb has the hash {hash}", hash=hash_text(xorb.hash)))
        blob = hub.blobs.keep(_stored(mapped, xorb), name, limit_bytes=1 << 30)
    store.write(lambda tx: _record_xorb(tx, hub, repo, claimed, xorb, blob))


def _parse(mapped: mmap.mmap) -> ParsedXorb | Text:
    """Return the xorb, or what is wrong with it: an error's traceback would hold the mapping, which could not be closed."""
    with memoryview(mapped) as body:
        try:
            return parse_xorb(body)
        except InvalidInput as error:
            return error.message


def _stored(mapped: mmap.mmap, xorb: ParsedXorb) -> Iterator[bytes]:
    for at in range(0, xorb.body_bytes, PIECE):
        yield mapped[at : min(at + PIECE, xorb.body_bytes)]
    yield encode_index(xorb)


def _record_xorb(tx: Tx, hub: Hub, repo: Repository, name: str, xorb: ParsedXorb, blob: Blob) -> None:
    refuse_too_much(tx, hub, repo, 0)
    row = tx.first(sa.select(xorbs).where(xorbs.c.hash == name))
    if row is None:
        values = {
            "hash": name,
            "sha256": blob.sha256,
            "body_bytes": xorb.body_bytes,
            "chunks": len(xorb.chunks),
            "at_us": tx.now_us,
        }
        tx.execute(sa.insert(xorbs).values(**values))
        eligible = {
            hash_text(chunk.hash)
            for at, chunk in enumerate(xorb.chunks)
            if at == 0 or is_dedup_chunk(chunk.hash)
        }
        tx.execute(
            sa.insert(dedup_chunks), [{"chunk_hash": chunk, "xorb_hash": name} for chunk in sorted(eligible)]
        )
    else:
        tx.execute(sa.update(xorbs).where(xorbs.c.hash == name).values(at_us=tx.now_us))
    _grant(tx, name, repo.id, 0, len(xorb.chunks))


def register_shard(
    store: Store,
    hub: Hub,
    actor: Actor,
    repo: Repository,
    data: bytes,
    tell: Callable[[int, int], None] | None = None,
) -> int:
    """Stage the files of a shard in a repository, after recomputing their hashes; return their number.

    `tell`: called with the number of recomputed files and of all files.
    Raises InvalidInput for wrong hashes, and for chunks that the caller neither sent nor may read.
    """
    files = parse_shard(data)
    _refuse_large(store, hub, repo, files)
    for number, file in enumerate(files):
        if tell is not None:
            tell(number, len(files))
        _check_grants(store, actor, repo, file)
        sha256, size = _recompute(store, hub, file)
        store.write(partial(_stage, hub, repo, file, sha256, size))
    return len(files)


def _refuse_large(store: Store, hub: Hub, repo: Repository, files: Sequence[ShardFile]) -> None:
    """Refuse a shard by the sizes it claims, before any is recomputed: one that names a xorb often makes much of little."""
    sizes = [sum(segment.raw_bytes for segment in file.segments) for file in files]
    if max(sizes, default=0) > hub.settings.upload_bytes_max:
        raise wrong(text("A file of the shard is larger than the center allows"))
    store.read(lambda tx: refuse_too_much(tx, hub, repo, sum(sizes)))


def _check_grants(store: Store, actor: Actor, repo: Repository, file: ShardFile) -> None:
    def query(tx: Tx) -> None:
        readable: dict[str, bool] = {repo.id: True}
        granted: dict[bytes, list[tuple[int, int]]] = {}
        for segment in dict.fromkeys(file.segments):
            name = hash_text(segment.xorb)
            if segment.xorb not in granted:
                granted[segment.xorb] = _granted(tx, actor, name, readable)
            if not is_covered(granted[segment.xorb], segment.first, segment.end):
                raise wrong(text("The shard refers to chunks of {hash} that were not uploaded", hash=name))

    store.read(query)


def _granted(tx: Tx, actor: Actor, xorb: str, readable: dict[str, bool]) -> list[tuple[int, int]]:
    """Return the ranges of a xorb's chunks in repositories that the caller may download; `readable`: known answers."""
    rows = tx.rows(sa.select(xorb_grants).where(xorb_grants.c.xorb_hash == xorb))
    unknown = sorted({row["repo_id"] for row in rows} - set(readable))
    for start in range(0, len(unknown), 500):
        part = unknown[start : start + 500]
        query = select_repos().where(repos.c.id.in_(part), visible_repos(actor))
        found = [repository(row) for row in tx.rows(query)]
        readable |= dict.fromkeys(part, False)
        readable |= {other.id: access_to(tx, actor, other).download for other in found}
    return [(row["first_chunk"], row["end_chunk"]) for row in rows if readable[row["repo_id"]]]


def is_covered(ranges: Sequence[tuple[int, int]], first: int, end: int) -> bool:
    """PURE: return whether the union of ranges (end exclusive) has all chunks from `first` to `end`."""
    for start, stop in sorted(ranges):
        if start > first:
            return False
        first = max(first, stop)
        if first >= end:
            return True
    return False


def _recompute(store: Store, hub: Hub, file: ShardFile) -> tuple[str, int]:
    """Return SHA-256 and size of a file from its stored chunks. Raises InvalidInput if its hash is not the claimed one."""
    digest, size = hashlib.sha256(), 0
    chunks: list[tuple[bytes, int]] = []
    rows: dict[bytes, Row] = {}
    for segment in file.segments:
        if segment.xorb not in rows:
            rows[segment.xorb] = find_xorb(store, segment.xorb)
        row = rows[segment.xorb]
        places = xorb_chunks(hub.blobs, row)[segment.first : segment.end]
        raw_bytes = sum(place.raw_bytes for place in places)
        if raw_bytes != segment.raw_bytes or len(places) != segment.end - segment.first:
            raise wrong(text("A file of the shard has a wrong length"))
        size += raw_bytes
        if size > hub.settings.upload_bytes_max:
            raise wrong(text("A file of the shard is larger than the center allows"))
        chunks += [(place.hash, place.raw_bytes) for place in places]
        for raw in read_chunks(hub.blobs, row, places):
            digest.update(raw)
    if file_hash(chunks) != file.hash:
        raise wrong(text("A file of the shard has another hash than its chunks"))
    return digest.hexdigest(), size


def _stage(hub: Hub, repo: Repository, file: ShardFile, sha256: str, size: int, tx: Tx) -> None:
    refuse_too_much(tx, hub, repo, size)
    is_new = stage(
        tx, repo, sha256, size, xet_hash=hash_text(file.hash), segments=encode_segments(file.segments)
    )
    for name in sorted({hash_text(segment.xorb) for segment in file.segments}):
        if is_new:
            tx.execute(sa.insert(segment_xorbs).values(sha256=sha256, xorb_hash=name))
        # The collector may have deleted the xorb since the hashes were recomputed, which takes minutes for large files.
        if not tx.execute(sa.update(xorbs).where(xorbs.c.hash == name).values(at_us=tx.now_us)).rowcount:
            raise wrong(text("The shard refers to chunks of {hash} that were not uploaded", hash=name))
    for segment in file.segments:
        _grant(tx, hash_text(segment.xorb), repo.id, segment.first, segment.end)


def _grant(tx: Tx, xorb: str, repo_id: str, first: int, end: int) -> None:
    rows = tx.rows(
        sa.select(xorb_grants).where(xorb_grants.c.xorb_hash == xorb, xorb_grants.c.repo_id == repo_id)
    )
    if not is_covered([(row["first_chunk"], row["end_chunk"]) for row in rows], first, end):
        values = {"xorb_hash": xorb, "repo_id": repo_id, "first_chunk": first, "end_chunk": end}
        tx.execute(sa.insert(xorb_grants).values(**values))


def find_dedup_shard(store: Store, hub: Hub, actor: Actor, repo: Repository, chunk: str) -> bytes:
    """Return a shard with the chunks beside a known chunk. Raises NotFound for a chunk that only others store."""

    def query(tx: Tx) -> str | None:
        readable: dict[str, bool] = {repo.id: True}
        holders = sa.select(dedup_chunks.c.xorb_hash).where(dedup_chunks.c.chunk_hash == chunk).limit(20)
        for name in tx.execute(holders).scalars().all():
            total = tx.scalar(sa.select(xorbs.c.chunks).where(xorbs.c.hash == name))
            if total and is_covered(_granted(tx, actor, name, readable), 0, total):
                return str(name)
        return None

    name = store.read(query)
    if name is None:
        raise NotFound(text("The chunk is not known here"))
    row = store.read(lambda tx: tx.first(sa.select(xorbs).where(xorbs.c.hash == name)))
    assert row is not None
    chunks = xorb_chunks(hub.blobs, row)
    return build_dedup_shard(hash_bytes(name), row["body_bytes"], chunks, store.clock.now_us() // 1_000_000)
