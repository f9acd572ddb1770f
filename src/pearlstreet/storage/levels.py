"""Storage metering: bytes stored by each project, and one usage span per hour with the mean level of that hour.

The level changes in the transaction that adds or deletes files. Its integral over time is exact, in byte-microseconds. The
remainder after rounding a span to whole bytes goes into the next span, so the division into spans does not change the bill.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import check
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.prices import current_prices
from pearlstreet.ledger.spans import append_span
from pearlstreet.storage.tables import storage_levels
from pearlstreet.store.core import Row, Tx

SOURCE = "storage"
RESOURCE = "storage"
INTERVAL_US = 3600 * US_PER_S
"""Length of a usage span: one hour, as is usual for object stores."""


@dataclass(frozen=True, slots=True)
class MeanLevel:
    """Mean level over a time in whole bytes, and the remainder of the integral."""

    stored_bytes: int
    rest_byte_us: int
    """Remainder in byte-microseconds, less than the length of the time in µs."""


def mean_level(byte_us: int, length_us: int) -> MeanLevel:
    """PURE: return the mean level of an integral of `byte_us` over `length_us`, rounded down, with the remainder."""
    check(byte_us >= 0 and length_us > 0, "a level has a time and is not below zero")
    return MeanLevel(*divmod(byte_us, length_us))


def change_level(tx: Tx, org_id: str, project_id: str, more_bytes: int) -> None:
    """Add bytes to the level of a project (below 0: subtract), in the transaction that adds or deletes the files."""
    if more_bytes == 0:
        return
    row = _level_row(tx, org_id, project_id)
    if row is None and more_bytes < 0:
        return  # the organisation is being closed: its usage is settled and its files are erased
    if row is None:
        tx.execute(
            sa.insert(storage_levels).values(
                org_id=org_id,
                project_id=project_id,
                stored_bytes=more_bytes,
                byte_us="0",
                changed_us=tx.now_us,
                metered_us=tx.now_us,
                stream=0,
                sequence=0,
                price_version_id=current_prices(tx).id,
            )
        )
        return
    if tx.now_us - row["metered_us"] >= INTERVAL_US:
        meter_level(tx, row)  # so that a mean covers at most one hour in which the level changed
        row = _level_row(tx, org_id, project_id)
        assert row is not None
    after = row["stored_bytes"] + more_bytes
    check(after >= 0, "no more is deleted than is stored", project=project_id)
    changed_us = max(row["changed_us"], tx.now_us)  # a clock that was set back must not count time twice
    _write(tx, row, stored_bytes=after, byte_us=str(_integral(row, tx.now_us)), changed_us=changed_us)


def meter_level(tx: Tx, row: Row) -> None:
    """Append the usage span from the end of the last one to now; none if nothing was stored in that time."""
    length_us = tx.now_us - row["metered_us"]
    if length_us <= 0:
        return
    mean = mean_level(_integral(row, tx.now_us), length_us)
    values: dict[str, object] = {"changed_us": max(row["changed_us"], tx.now_us), "metered_us": tx.now_us}
    is_empty = not (mean.stored_bytes or row["stored_bytes"])
    values["byte_us"] = "0" if is_empty else str(mean.rest_byte_us)
    version_id = current_prices(tx).id
    goes_on = False
    if mean.stored_bytes:
        append_span(tx, _span(row, mean.stored_bytes, tx.now_us))
        goes_on = version_id == row["price_version_id"]
        values["sequence"] = row["sequence"] + 1
    if not goes_on and (mean.stored_bytes or row["sequence"]):
        values |= {
            "stream": row["stream"] + 1,
            "sequence": 0,
        }  # spans of a stream have no gaps and share one price version
    _write(tx, row, price_version_id=version_id, **values)


def meter_org(tx: Tx, org_id: str) -> None:
    """Meter the storage of all projects of an organisation up to now."""
    for row in tx.rows(sa.select(storage_levels).where(storage_levels.c.org_id == org_id)):
        meter_level(tx, row)


def end_metering(tx: Tx, org_id: str) -> None:
    """Meter an organisation for the last time, before its final invoice; later storage is not billed."""
    meter_org(tx, org_id)
    tx.execute(sa.delete(storage_levels).where(storage_levels.c.org_id == org_id))


# Every submit of a job reads these, so the statements are built once.
_OF_ORG = sa.select(sa.func.sum(storage_levels.c.stored_bytes)).where(
    storage_levels.c.org_id == sa.bindparam("org")
)
_OF_PROJECT = _OF_ORG.where(storage_levels.c.project_id == sa.bindparam("project"))


def stored_bytes(tx: Tx, org_id: str, project_id: str | None = None) -> int:
    """Return the bytes that an organisation, or one of its projects, stores now."""
    if project_id is None:
        return int(tx.execute(_OF_ORG, {"org": org_id}).scalar() or 0)
    return int(tx.execute(_OF_PROJECT, {"org": org_id, "project": project_id}).scalar() or 0)


def _span(row: Row, amount: int, until_us: int) -> Span:
    return Span(
        source=SOURCE,
        external_id=f"{row['project_id']}.{row['stream']}",
        resource=RESOURCE,
        sequence=row["sequence"],
        org_id=row["org_id"],
        project_id=row["project_id"],
        reference=row["project_id"],
        start_us=row["metered_us"],
        end_us=until_us,
        unit=Unit.STORAGE_BYTES,
        amount=amount,
        price_version_id=row["price_version_id"],
    )


def _integral(row: Row, now_us: int) -> int:
    """Return the integral of the level since the end of the last span, in byte-microseconds."""
    since_us: int = row["stored_bytes"] * max(now_us - row["changed_us"], 0)
    return int(row["byte_us"]) + since_us


def _level_row(tx: Tx, org_id: str, project_id: str) -> Row | None:
    here = (storage_levels.c.org_id == org_id) & (storage_levels.c.project_id == project_id)
    return tx.first(sa.select(storage_levels).where(here))


def _write(tx: Tx, row: Row, **values: object) -> None:
    here = (storage_levels.c.org_id == row["org_id"]) & (storage_levels.c.project_id == row["project_id"])
    tx.execute(sa.update(storage_levels).where(here).values(**values))
