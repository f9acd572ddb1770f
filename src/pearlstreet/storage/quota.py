"""Storage limits of organisations and projects: a quota on `storage`, or the center's default for organisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import text
from pearlstreet.base.units import GIB, format_bytes
from pearlstreet.storage.levels import stored_bytes
from pearlstreet.storage.tables import quotas
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.tables import orgs, projects

STORAGE = "storage"
"""Resource name of a quota on storage, with its maximum in GiB; the planner ignores it."""


class StorageSettings(Protocol):
    """The setting that limits stored bytes."""

    @property
    def org_storage_bytes_max(self) -> int:
        """Maximum bytes stored by an organisation without a quota on storage; 0: no limit."""


@dataclass(frozen=True, slots=True)
class StorageLimit:
    """One storage limit and the bytes that count against it."""

    owner: str
    """Slug of the organisation, or org/project for a project."""
    used: int
    limit: int
    reserved: int = 0
    """Bytes reserved by running uploads."""

    @property
    def left(self) -> int:
        """Bytes that fit; below 0 if more is stored than allowed."""
        return self.limit - self.used - self.reserved


# Every submit of a job reads these, so the statements are built once.
_MAXIMA = sa.select(quotas.c.project_id, quotas.c.maximum).where(
    quotas.c.org_id == sa.bindparam("org"),
    sa.or_(quotas.c.project_id == "", quotas.c.project_id == sa.bindparam("project")),
    quotas.c.resource == STORAGE,
    quotas.c.maximum.is_not(None),
)
_SLUGS = sa.select(
    sa.select(orgs.c.slug).where(orgs.c.id == sa.bindparam("org")).scalar_subquery().label("org"),
    sa.select(projects.c.slug)
    .where(projects.c.id == sa.bindparam("project"))
    .scalar_subquery()
    .label("project"),
)


def _nothing(project_id: str | None) -> int:
    return 0


def storage_limits(
    tx: Tx,
    settings: StorageSettings,
    org_id: str,
    project_id: str,
    reserved: Callable[[str | None], int] = _nothing,
) -> Sequence[StorageLimit]:
    """Return the limits that apply to a file of a project: its own and its organisation's; empty without limits.

    `reserved`: returns the bytes reserved by running uploads of a project, or (None) of the organisation.
    """
    found = tx.execute(_MAXIMA, {"org": org_id, "project": project_id})
    maxima = {row.project_id: int(row.maximum * GIB) for row in found}
    if "" not in maxima and settings.org_storage_bytes_max:
        maxima[""] = settings.org_storage_bytes_max
    if not maxima:
        return ()
    slugs = tx.execute(_SLUGS, {"org": org_id, "project": project_id}).one()
    return [
        StorageLimit(
            f"{slugs.org}/{slugs.project}" if place else str(slugs.org),
            stored_bytes(tx, org_id, place or None),
            limit,
            reserved(place or None),
        )
        for place, limit in sorted(maxima.items())
    ]


def tightest(limits: Sequence[StorageLimit]) -> StorageLimit | None:
    """Return the limit with the least remaining capacity; None without limits."""
    return min(limits, key=lambda limit: limit.left, default=None)


def refuse_over_quota(
    tx: Tx, settings: StorageSettings, org_id: str, project_id: str, more_bytes: int
) -> None:
    """Raise Conflict if `more_bytes` do not fit into a project's limits; with 0, if nothing fits."""
    refuse_beyond(tightest(storage_limits(tx, settings, org_id, project_id)), more_bytes)


def refuse_beyond(limit: StorageLimit | None, more_bytes: int) -> None:
    """Raise Conflict if `more_bytes` do not fit into a limit; with 0, if nothing fits."""
    if limit is None or more_bytes < limit.left or (more_bytes and more_bytes == limit.left):
        return
    hint = text(
        "Delete outputs and uploads that are not needed (pearl storage), or ask the operator for more"
    )
    message = text(
        "{owner} stores {used} of at most {limit}; nothing more fits",
        owner=limit.owner,
        used=format_bytes(limit.used),
        limit=format_bytes(limit.limit),
    )
    if more_bytes:
        message = text(
            "{owner} stores {used} of at most {limit}; {size} more do not fit",
            owner=limit.owner,
            used=format_bytes(limit.used),
            limit=format_bytes(limit.limit),
            size=format_bytes(more_bytes),
        )
    if limit.reserved and more_bytes <= limit.left + limit.reserved:
        message = text(
            "{owner} stores {used} of at most {limit}, and running uploads need {reserved} of the rest",
            owner=limit.owner,
            used=format_bytes(limit.used),
            limit=format_bytes(limit.limit),
            reserved=format_bytes(limit.reserved),
        )
        hint = text("Wait until the running uploads have ended, or send less at once")
    raise Conflict(message, hint=hint)
