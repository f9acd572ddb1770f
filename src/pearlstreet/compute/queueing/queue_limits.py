"""Limits on the number of waiting jobs of the center, of each organisation and of each project.

The center's limit keeps a long queue from slowing all tenants. So that one tenant's full queue does not refuse another's first
job, organisations have a lower limit, and the first `RESERVE` jobs of each organisation do not count against the center's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import Text, text
from pearlstreet.compute.queueing.planning_window import count_by_project
from pearlstreet.compute.queueing.quotas import CENTER_MAX, QUEUED_JOBS, RESERVE
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.storage.tables import quotas
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.tables import projects

ORG_MAX = 100_000
"""Maximum number of queued jobs of an organisation without a quota on `queued_jobs`."""
FRESH_US = 1_000_000
"""Maximum age of the counts and limits behind a refusal."""
RECOUNT_US = 60_000_000
"""Time between two counts while nothing is refused; in between, starts and ends make the counts too high, never too low."""
RETRY_S = 60
FEW = 100
"""Number of waiting jobs up to which an organisation's submits hurry the planner. The planner's pauses protect it from the
many submits of those with a long queue."""

_COUNT = count_by_project(waiting.c.array_size.is_(None))
_LIMITS = sa.select(quotas.c.org_id, quotas.c.project_id, quotas.c.maximum).where(
    quotas.c.resource == QUEUED_JOBS
)


def count_queued(org_ids: Collection[str]) -> sa.Select[tuple[str, str, int]]:
    """Return the query for the number of waiting jobs of some organisations by project."""
    return _COUNT.where(projects.c.org_id.in_(sorted(org_ids)))


@dataclass(slots=True)
class QueueCounts:
    """Number of waiting jobs as counted at `counted_us`, plus those submitted since.

    Only the store's writer thread uses it, so there is no lock.
    """

    by_project: Counter[str] = field(default_factory=Counter)
    by_org: Counter[str] = field(default_factory=Counter)
    shared: int = 0
    """Number of jobs beyond the reserves of their organisations, which count against the center's limit."""
    limits: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Maximum set by a quota, by (organisation, project or "")."""
    counted_us: int = 0
    limits_us: int = 0

    def check(self, tx: Tx, org_id: str, project_id: str, more: int) -> None:
        """Raise TooMany, naming the limit, if `more` jobs do not fit."""
        if tx.now_us - self.limits_us > FRESH_US:
            self.limits = {
                (row["org_id"], row["project_id"]): int(row["maximum"]) for row in tx.rows(_LIMITS)
            }
            self.limits_us = tx.now_us
        if tx.now_us - self.counted_us > RECOUNT_US:
            self._count(tx)
        refusal = self._refusal(org_id, project_id, more)
        if refusal is not None and tx.now_us - self.counted_us > FRESH_US:
            self._count(tx)
            refusal = self._refusal(org_id, project_id, more)
        if refusal is not None:
            message, hint = refusal
            raise TooMany(message, hint=hint, retry_after_s=RETRY_S)

    def add(self, org_id: str, project_id: str, more: int) -> None:
        """Count `more` jobs that were just queued."""
        self.shared += self._beyond_reserve(org_id, more)
        self.by_project[project_id] += more
        self.by_org[org_id] += more

    def few(self, org_id: str) -> bool:
        """Return whether the organisation has at most `FEW` waiting jobs."""
        return self.by_org[org_id] <= FEW

    def _beyond_reserve(self, org_id: str, more: int) -> int:
        """Return how many of `more` new jobs of an organisation would count against the center's limit."""
        before = self.by_org[org_id]
        return max(0, before + more - RESERVE) - max(0, before - RESERVE)

    def _count(self, tx: Tx) -> None:
        self.by_project, self.by_org, self.shared = Counter(), Counter(), 0
        for row in tx.rows(_COUNT):
            self.add(row["org_id"], row["project_id"], row["waiting"])
        self.counted_us = tx.now_us

    def _refusal(self, org_id: str, project_id: str, more: int) -> tuple[Text, Text] | None:
        """Return message and hint for the first limit that is exceeded; None if all fit."""
        mine, of_project = self.by_org[org_id], self.by_project[project_id]
        most = self.limits.get((org_id, project_id))
        if most is not None and of_project + more > most:
            message = text(
                "The project's queue is full: {count} of at most {most} jobs wait, and this adds {more}",
                count=of_project,
                most=most,
                more=more,
            )
            return message, _ASK_OPERATORS
        most = self.limits.get((org_id, ""), ORG_MAX)
        if mine + more > most:
            message = text(
                "The organisation's queue is full: {count} of at most {most} jobs wait, and this adds {more}",
                count=mine,
                most=most,
                more=more,
            )
            return message, _ASK_OPERATORS
        beyond = self._beyond_reserve(org_id, more)
        if beyond and self.shared + beyond > CENTER_MAX:
            message = text(
                "The center's queue is full: it holds {most} jobs beside {reserve} of each organisation, of which yours has "
                "{count}",
                most=CENTER_MAX,
                reserve=RESERVE,
                count=mine,
            )
            return message, text("Submit again when some have ended; nobody can raise this limit")
        return None


_ASK_OPERATORS = text(
    "Submit again when some have ended, or ask the center's operators to raise the quota on {resource}",
    resource=QUEUED_JOBS,
)
