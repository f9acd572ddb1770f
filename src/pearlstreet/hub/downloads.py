"""The audit of downloads: one row per person, revision and hour, with files and bytes."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.hub.model import Repository
from pearlstreet.hub.tables import downloads, repos
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

HOUR_US = 3600 * US_PER_S


def record_download(store: Store, actor: Actor, repo: Repository, commit_id: str, size_bytes: int) -> None:
    """Count one file, before its first byte is sent."""

    def command(tx: Tx) -> None:
        key = {
            "repo_id": repo.id,
            "commit_id": commit_id,
            "user_id": actor.user_id,
            "hour_us": tx.now_us // HOUR_US * HOUR_US,
        }
        here = sa.and_(*(downloads.c[name] == value for name, value in key.items()))
        more = {"files": downloads.c.files + 1, "bytes": downloads.c.bytes + size_bytes}
        if not tx.execute(sa.update(downloads).where(here).values(**more)).rowcount:
            tx.execute(sa.insert(downloads).values(**key, files=1, bytes=size_bytes))
            tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(downloads=repos.c.downloads + 1))

    store.write(command)
