"""The audit log as a hash chain: each row contains the hash of its predecessor, so edits, deletions and swaps show.

The newest hash is signed with the sealing key, so that a writer of the database without the key cannot truncate the log
unnoticed. The chain cannot detect that the whole database was restored to an older state. For this, auditors keep the
newest hash that `verify` reports and check later that the log still contains it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import SEALING_CHECK, audit, audit_head, meta

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of `verify`: the number of rows, the newest hash, and the first wrong row (None: the log is right)."""

    rows: int
    head: str
    broken_at: int | None
    problem: str | None


def record(
    tx: Tx,
    *,
    actor: str,
    action: str,
    target: str,
    org_id: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Append one row to the chain in the command's own transaction. `details` must not contain secrets."""
    head = tx.first(sa.select(audit_head))
    seq, previous = (head["seq"] + 1, head["hash"]) if head else (1, GENESIS)
    written = json.dumps(details or {}, sort_keys=True, ensure_ascii=False, default=str)
    row = {
        "seq": seq,
        "at_us": tx.now_us,
        "actor": actor,
        "org_id": org_id,
        "action": action,
        "target": target,
        "details": written,
    }
    digest = _digest(row, previous)
    tx.execute(sa.insert(audit).values(**row, previous_hash=previous, hash=digest))
    values = {"seq": seq, "hash": digest, "mac": tx.sealer.mac(digest.encode()) if tx.sealer else ""}
    if head:
        tx.execute(sa.update(audit_head).values(**values))
    else:
        tx.execute(sa.insert(audit_head).values(id=1, **values))


def verify(tx: Tx) -> AuditReport:
    """Check the hashes of the whole chain and compare its end with the signed head."""
    previous, count = GENESIS, 0
    for row in tx.connection.execute(sa.select(audit).order_by(audit.c.seq)).yield_per(1000).mappings():
        count += 1
        if row["seq"] != count:
            return AuditReport(count, previous, count, f"row {count} is missing; {row['seq']} follows")
        if row["previous_hash"] != previous or row["hash"] != _digest(dict(row), previous):
            return AuditReport(
                count, previous, row["seq"], f"row {row['seq']} of {to_rfc3339(row['at_us'])} was changed"
            )
        previous = row["hash"]
    head = tx.first(sa.select(audit_head))
    if head is None:
        # The first start of a center writes the first row, so an empty log is right only before it.
        used = tx.first(sa.select(meta).where(meta.c.name == SEALING_CHECK)) is not None
        problem = "the signed head is missing" if count or used else None
        return AuditReport(count, previous, count if problem else None, problem)
    if head["seq"] != count or head["hash"] != previous:
        return AuditReport(
            count, previous, count + 1, f"the log ends at row {count}, but row {head['seq']} was signed"
        )
    if tx.sealer and not tx.sealer.mac_is_right(previous.encode(), head["mac"]):
        return AuditReport(count, previous, count, "the signature of the newest row is wrong")
    return AuditReport(count, previous, None, None)


def _digest(row: Mapping[str, object], previous: str) -> str:
    # JSON and not str(), because the organisation None must not have the same hash as one named "None".
    columns = ("seq", "at_us", "actor", "org_id", "action", "target", "details")
    parts = [previous, *(row[name] for name in columns)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
