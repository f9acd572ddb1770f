"""Reads the scheduling policy in force and its earlier versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.compute.queueing.policy.model import Policy, from_row
from pearlstreet.compute.queueing.tables import policies
from pearlstreet.store.core import Tx

_NEWEST = sa.select(policies.c.number, policies.c.made_us).order_by(policies.c.number.desc()).limit(1)
_ONE = sa.select(policies).where(policies.c.number == sa.bindparam("of_number"))


@dataclass(slots=True)
class PolicyReader:
    """Reads the policy in force and caches it. `initial`: the policy of the center's settings."""

    initial: Policy = field(default_factory=Policy)
    kept: Policy | None = None

    def current(self, tx: Tx) -> Policy:
        """Return the newest version."""
        newest = tx.execute(_NEWEST).first()
        if newest is None:
            return self.initial
        kept = self.kept
        if kept is None or (kept.number, kept.made_us) != tuple(newest):
            kept = self.kept = version(tx, newest.number, self.initial)
        return kept


def version(tx: Tx, number: int, initial: Policy) -> Policy:
    """Return one version; 0 is the policy of the center's settings. Raises NotFound."""
    if number == 0:
        return initial
    row = tx.execute(_ONE, {"of_number": number}).mappings().first() if 0 < number < 2**31 else None
    if row is None:
        raise NotFound(text("There is no version {number} of the scheduling policy", number=number))
    return from_row(row)


def versions(tx: Tx, *, before: int | None, limit: int) -> Sequence[Policy]:
    """Return the stored versions, newest first."""
    query = sa.select(policies).order_by(policies.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(policies.c.number < before)
    return [from_row(row) for row in tx.rows(query)]
