"""Selects the waiting jobs that the planner loads in one cycle: equal numbers for organisations, then for their projects.

A cycle plans at most `window_size` jobs. If these were the first by priority and submit time in the whole center, 20,000
jobs of one tenant would hide all other tenants' jobs before fair share could rank them. So the places are shared round-robin
among organisations, then among the projects of an organisation, and only within a project by priority and submit time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from pearlstreet.compute.execution.model import LIVE_ATTEMPT, AttemptState
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.queueing.model import AccountId, PlanningWindow, WaitingRow
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.model import Standing
from pearlstreet.tenancy.tables import orgs, projects

WAITING_MAX = 20_000
"""Number of waiting jobs that one cycle of the planner loads in a large center."""
WAITING_MIN = 5_000
"""Number of waiting jobs that one cycle loads in a small center."""
WAITING_PER_DEVICE = 4
"""Places for each accelerator: several jobs may share one, and jobs behind a large one may be backfilled."""
IN_MAX = 500
"""Number of ids in one IN list."""
ARRAYS_MAX = 100
"""Arrays whose elements are read in one statement (SQLite joins at most 500 selects)."""

Name = TypeVar("Name", str, tuple[str, str])

_NOW = sa.bindparam("now_us", type_=sa.BigInteger)
_READY = (waiting.c.blocked == sa.false(), waiting.c.not_before_us <= _NOW)
_PLAIN = (*_READY, waiting.c.array_size.is_(None), waiting.c.array_max_running.is_(None))
_COLUMNS = (
    waiting.c.id, waiting.c.org_id, waiting.c.project_id, waiting.c.priority, waiting.c.submitted_us, waiting.c.not_before_us,
    waiting.c.array_id, waiting.c.array_index, waiting.c.array_max_running, waiting.c.reason_code, waiting.c.queue,
    waiting.c.served_device_us, waiting.c.attempts, waiting.c.owner_kind,
)  # fmt: skip
_SUSPENDED = sa.select(orgs.c.id).where(orgs.c.state != Standing.ACTIVE.value)
"""Suspended organisations: their jobs wait, and running ones continue."""


def count_by_project(*conditions: sa.ColumnElement[bool]) -> sa.Select[tuple[str, str, int]]:
    """Return the query for the number of waiting requests of each project that fulfil the conditions.

    The index `ix_waiting_order` must cover the conditions.
    """
    own = (waiting.c.org_id == projects.c.org_id, waiting.c.project_id == projects.c.id)
    count = sa.select(sa.func.count()).where(*own, *conditions).correlate(projects).scalar_subquery()
    return sa.select(projects.c.org_id, projects.c.id.label("project_id"), count.label("waiting"))


_COUNTS = count_by_project(*_PLAIN)
_IN_ORDER = (waiting.c.priority.desc(), waiting.c.submitted_us, waiting.c.array_index)
_OF_ACCOUNT = (
    sa.select(*_COLUMNS)
    .where(
        *_PLAIN,
        waiting.c.org_id == sa.bindparam("of_org"),
        waiting.c.project_id == sa.bindparam("of_project"),
    )
    .order_by(*_IN_ORDER)
    .limit(sa.bindparam("most"))
)
_accounts = (
    sa.func.unnest(
        sa.cast(sa.bindparam("orgs"), postgresql.ARRAY(sa.String)),
        sa.cast(sa.bindparam("projects"), postgresql.ARRAY(sa.String)),
        sa.cast(sa.bindparam("limits"), postgresql.ARRAY(sa.BigInteger)),
    )
    .table_valued(
        sa.column("org", sa.String), sa.column("project", sa.String), sa.column("most", sa.BigInteger)
    )
    .render_derived("account")
)
_first = (
    sa.select(*_COLUMNS)
    .where(*_PLAIN, waiting.c.org_id == _accounts.c.org, waiting.c.project_id == _accounts.c.project)
    .order_by(*_IN_ORDER)
    .limit(_accounts.c.most)
    .lateral("first_jobs")
)
_OF_ACCOUNTS = sa.select(_first).select_from(_accounts.join(_first, sa.true()))
"""The first jobs of many accounts in one statement, for PostgreSQL, where hundreds of round trips cost more than the rows."""
_element = waiting.alias("element")
_LIMITED_ARRAYS = (
    sa.select(
        waiting.c.id,
        waiting.c.org_id,
        waiting.c.project_id,
        waiting.c.array_max_running,
        sa.select(sa.func.count())
        .select_from(_element)
        .where(_element.c.array_id == waiting.c.id)
        .correlate(waiting)
        .scalar_subquery()
        .label("n_queued"),
        sa.select(sa.func.min(_element.c.array_index))
        .where(_element.c.array_id == waiting.c.id)
        .correlate(waiting)
        .scalar_subquery()
        .label("first"),
    )
    .where(waiting.c.array_size.is_not(None), waiting.c.array_max_running.is_not(None))
    .where(waiting.c.blocked == sa.false(), waiting.c.not_before_us <= _NOW)
    .order_by(waiting.c.priority.desc(), waiting.c.submitted_us, waiting.c.id)
)
"""Arrays with a limit on running elements. Only as many of their elements as may start take places in the window."""
_ACTIVE = (
    sa.select(attempts.c.array_id, sa.func.count().label("active"))
    .where(
        attempts.c.state.in_((*LIVE_ATTEMPT, AttemptState.COLLECTING.value)), attempts.c.array_id.is_not(None)
    )
    .group_by(attempts.c.array_id)
)


@dataclass(slots=True)
class _LimitedArray:
    """An array with a limit on the number of running elements."""

    id: str
    account: AccountId
    first: int
    """Smallest index of a queued element."""
    free: int
    """Number of elements that may start now."""


def window_size(devices: int, cpus: int) -> int:
    """PURE: return how many waiting jobs one cycle plans in a center with these accelerators and processor cores.

    A job that cannot start costs the same time in each cycle as one that can. A small center starts few jobs in a cycle, so
    it plans fewer, and its cycles stay short behind a long queue.
    """
    return min(WAITING_MAX, max(WAITING_MIN, WAITING_PER_DEVICE * devices, cpus))


def deal_places(counts: Mapping[AccountId, int], most: int) -> dict[AccountId, int]:
    """PURE: share `most` places round-robin among organisations, then among the projects of each.

    No account gets more places than it has jobs; the places it leaves go to the others.
    """
    by_org: dict[str, dict[AccountId, int]] = defaultdict(dict)
    for account, count in counts.items():
        by_org[account[0]][account] = count
    of_org = _deal({org: sum(mine.values()) for org, mine in by_org.items()}, most)
    places: dict[AccountId, int] = {}
    for org, mine in by_org.items():
        places |= _deal(mine, of_org[org])
    return places


def _deal(wanted: Mapping[Name, int], most: int) -> dict[Name, int]:
    """Share `most` places equally; an account that wants fewer than the equal share gets all it wants."""
    dealt: dict[Name, int] = {}
    left = most
    smallest_first = sorted(wanted, key=lambda name: (wanted[name], name))
    for number, name in enumerate(smallest_first):
        dealt[name] = min(wanted[name], -(-left // (len(smallest_first) - number)))
        left -= dealt[name]
    return dealt


def load_window(tx: Tx, held_back: Mapping[str, AccountId], most: int) -> PlanningWindow:
    """Read the at most `most` waiting jobs that this cycle plans. `held_back`: jobs, with accounts, that take no place."""
    suspended = set(tx.execute(_SUSPENDED).scalars())
    now = {"now_us": tx.now_us}
    plain = {
        (row.org_id, row.project_id): row.waiting
        for row in tx.execute(_COUNTS, now)
        if row.waiting and row.org_id not in suspended
    }
    arrays, queued = _limited_arrays(tx, suspended)
    held = Counter(held_back.values())
    counts = Counter({account: max(0, count - held[account]) for account, count in plain.items()})
    for account, limited in arrays.items():
        counts[account] += sum(array.free for array in limited)
    places = deal_places(counts, most)
    rows: list[WaitingRow] = []
    seen: set[str] = set()
    wanted = {account: granted + held[account] for account, granted in places.items() if account in plain}
    first = _first_jobs(tx, {account: most for account, most in wanted.items() if most})
    for account, granted in places.items():
        found = first.get(account, [])
        if account in arrays:
            found = sorted([*found, *_elements(tx, arrays[account], granted)], key=_in_order)
        seen.update(row.id for row in found)
        free = [row for row in found if row.id not in held_back]
        rows += free[:granted]
        seen.difference_update(row.id for row in free[granted:])
    rows.sort(key=lambda row: (row.submitted_us, row.id))
    limits = {account: granted for account, granted in places.items() if granted < counts[account]}
    return PlanningWindow(rows, frozenset(seen), limits, sum(plain.values()) + queued, tx.now_us)


def _limited_arrays(
    tx: Tx, suspended: Collection[str]
) -> tuple[Mapping[AccountId, list[_LimitedArray]], int]:
    """Return the limited arrays that may start elements, by account in its order, and the number of all queued elements."""
    found: dict[AccountId, list[_LimitedArray]] = defaultdict(list)
    queued = 0
    limited = tx.execute(_LIMITED_ARRAYS, {"now_us": tx.now_us}).all()
    active: dict[str, int] = {row.array_id: row.active for row in tx.execute(_ACTIVE)} if limited else {}
    for row in limited:
        if row.org_id in suspended or row.first is None:
            continue
        queued += row.n_queued
        free = min(row.array_max_running - active.get(row.id, 0), row.n_queued)
        if free > 0:
            account = (row.org_id, row.project_id)
            found[account].append(_LimitedArray(row.id, account, row.first, free))
    return found, queued


def _first_jobs(tx: Tx, wanted: Mapping[AccountId, int]) -> Mapping[AccountId, list[WaitingRow]]:
    """Return the first jobs of each account by priority and submit time, without limited arrays.

    `wanted`: number of jobs by account.
    """
    if (
        tx.connection.dialect.name == "sqlite"
    ):  # SQLite runs in this process, so a statement for each account costs no round trip
        return {
            (org, project): _read(
                tx, _OF_ACCOUNT, {"of_org": org, "of_project": project, "most": most, "now_us": tx.now_us}
            )
            for (org, project), most in wanted.items()
        }
    found: dict[AccountId, list[WaitingRow]] = defaultdict(list)
    orgs_and_projects = {
        "orgs": [org for org, _ in wanted],
        "projects": [project for _, project in wanted],
        "limits": list(wanted.values()),
    }
    for row in _read(tx, _OF_ACCOUNTS, {**orgs_and_projects, "now_us": tx.now_us}):
        found[row.org_id, row.project_id].append(row)
    return {account: sorted(rows, key=_in_order) for account, rows in found.items()}


def _read(tx: Tx, query: sa.Executable, values: Row | None = None) -> list[WaitingRow]:
    return cast("list[WaitingRow]", tx.execute(query, values).all())


def _in_order(row: WaitingRow) -> tuple[int, int, int]:
    return -row.priority, row.submitted_us, row.array_index or 0


def _elements(tx: Tx, arrays: Sequence[_LimitedArray], most: int) -> list[WaitingRow]:
    """Return the elements with the lowest indices that may start, array by array, up to `most` in all."""
    parts: list[sa.Select[tuple[object, ...]]] = []
    for array in arrays:
        if most <= 0:
            break
        bound = array.first + min(array.free, most)
        parts.append(
            sa.select(*_COLUMNS).where(waiting.c.array_id == array.id, waiting.c.array_index < bound)
        )
        most -= array.free
    found: list[WaitingRow] = []
    for start in range(0, len(parts), ARRAYS_MAX):
        found += _read(tx, sa.union_all(*parts[start : start + ARRAYS_MAX]))
    return found


def count_ahead(tx: Tx, row: Row) -> int:
    """Return how many waiting jobs of the project precede a job: of higher priority, or submitted earlier."""
    earlier = waiting.c.submitted_us < row["submitted_us"]
    if row["array_index"] is not None:
        in_array = (waiting.c.array_id == row["array_id"]) & (waiting.c.array_index < row["array_index"])
        earlier |= (waiting.c.submitted_us == row["submitted_us"]) & in_array
    ahead = (waiting.c.priority > row["priority"]) | ((waiting.c.priority == row["priority"]) & earlier)
    of_account = (waiting.c.org_id == row["org_id"], waiting.c.project_id == row["project_id"])
    found = sa.select(sa.func.count()).where(*_READY, waiting.c.array_size.is_(None), *of_account, ahead)
    return int(tx.execute(found, {"now_us": tx.now_us}).scalar_one())


def with_reasons(tx: Tx, job_ids: Collection[str] | None = None) -> set[str]:
    """Return those of the jobs (None: of all) that wait to be planned and have a reason in their row."""
    with_reason = sa.select(waiting.c.id).where(
        waiting.c.blocked == sa.false(), waiting.c.array_size.is_(None), waiting.c.reason_code.is_not(None)
    )
    if job_ids is None:
        return set(tx.execute(with_reason).scalars())
    ids = sorted(job_ids)
    parts = [ids[start : start + IN_MAX] for start in range(0, len(ids), IN_MAX)]
    return {
        found for part in parts for found in tx.execute(with_reason.where(waiting.c.id.in_(part))).scalars()
    }
