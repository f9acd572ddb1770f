"""Garbage collection of the hub: contents and xorbs that no commit and no running upload needs.

Rows go first, in the transactions in which commits are serialised; the sweep of blobs then deletes the bytes that no row names
and that were not stored again meanwhile. A crash between the two leaves a blob for the next sweep.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.tables import (
    contents,
    dedup_chunks,
    previews,
    repo_contents,
    segment_xorbs,
    staged,
    xorb_grants,
    xorbs,
)
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop

UNUSED_US = 86_400 * US_PER_S
"""Time for which a content that was sent, and a xorb, is kept without a commit, in µs."""
BATCH = 500


def hub_loop(hub: Hub) -> Loop:
    """Return the loop that collects garbage."""
    return CycleLoop(name="collect_hub", cycle=lambda store: collect(store, hub), interval_s=60.0)


def collect(store: Store, hub: Hub, unused_us: int = UNUSED_US) -> bool:
    """Delete a batch of what is unused; return whether there may be more."""
    before_us = store.clock.now_us() - unused_us
    _drop_stray(hub, before_us)
    due = store.read(lambda tx: [bool(tx.rows(query.limit(1))) for query in _queries(before_us)])
    return store.write(lambda tx: _collect(tx, before_us)) if any(due) else False


def _queries(before_us: int) -> tuple[sa.Select[tuple[str]], ...]:
    old = contents.c.at_us < before_us
    unused = old & contents.c.sha256.not_in(sa.select(repo_contents.c.sha256))
    unused &= contents.c.sha256.not_in(sa.select(staged.c.sha256))
    loose = (xorbs.c.at_us < before_us) & xorbs.c.hash.not_in(sa.select(segment_xorbs.c.xorb_hash))
    stale = previews.c.sha256.not_in(sa.select(contents.c.sha256))
    return (
        sa.select(staged.c.sha256).where(staged.c.at_us < before_us),
        sa.select(contents.c.sha256).where(unused),
        sa.select(xorbs.c.hash).where(loose),
        sa.select(previews.c.sha256).where(stale),
    )


def _collect(tx: Tx, before_us: int) -> bool:
    tx.execute(sa.delete(staged).where(staged.c.at_us < before_us))
    _, unused, loose, stale = _queries(before_us)
    names: Sequence[str] = tx.execute(unused.limit(BATCH)).scalars().all()
    for table in (contents, segment_xorbs):
        tx.execute(sa.delete(table).where(table.c.sha256.in_(names)))
    hashes: Sequence[str] = tx.execute(loose.limit(BATCH)).scalars().all()
    tx.execute(sa.delete(xorbs).where(xorbs.c.hash.in_(hashes)))
    for table in (xorb_grants, dedup_chunks):
        tx.execute(sa.delete(table).where(table.c.xorb_hash.in_(hashes)))
    gone: Sequence[str] = tx.execute(stale.limit(BATCH)).scalars().all()
    tx.execute(sa.delete(previews).where(previews.c.sha256.in_(gone)))
    return BATCH in (len(names), len(hashes), len(gone))


def _drop_stray(hub: Hub, before_us: int) -> None:
    """Delete unfinished files of broken uploads."""
    if not hub.work.is_dir():
        return
    for path in hub.work.iterdir():
        if path.is_file() and path.stat().st_mtime < before_us / US_PER_S:
            path.unlink(missing_ok=True)
