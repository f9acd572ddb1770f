"""Turns plain rows into a snapshot: columns by the schema of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.model import (
    I64,
    NO_LIMIT,
    UNKNOWN_US,
    Accounts,
    Nodes,
    Quotas,
    Reservations,
    Running,
    Services,
    Snapshot,
    Waiting,
)
from pearlstreet.compute.scheduling.node_table import GFLOPS_PER_PFLOPS, NodeTable
from pearlstreet.compute.scheduling.rows import (
    Account,
    NodeRow,
    PflopsOf,
    Quota,
    Request,
    Reservation,
    RunningAttempt,
    Service,
    WaitingJob,
    match_models,
    most_requested,
)
from pearlstreet.compute.scheduling.schema import Column, columns_of

QUOTA_KINDS = ("pflops", "cards", "cpus")
_QUOTA_UNIT = {"pflops": GFLOPS_PER_PFLOPS, "cards": FULL_BP, "cpus": 1000}


class _Index:
    """Names numbered in the order they are met."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def __call__(self, name: Any) -> int:
        return self.numbers.setdefault(name, len(self.numbers))

    def names(self) -> tuple[Any, ...]:
        return tuple(self.numbers)


@dataclass(frozen=True, slots=True)
class _Names:
    """Numbers of all names that jobs have."""

    orgs: _Index
    projects: _Index
    arrays: _Index
    requests: _Index
    users: _Index
    queues: _Index

    def on(self, axis: str) -> _Index:
        """Return the numbers of the names on an axis of the schema."""
        return {
            "O": self.orgs,
            "P": self.projects,
            "A": self.arrays,
            "E": self.requests,
            "U": self.users,
            "K": self.queues,
        }[axis]


class SnapshotBuilder:
    """Keeps rows by id; adding a row with a known id replaces it. Not thread-safe."""

    def __init__(self, pflops_of: PflopsOf, table: NodeTable | None = None) -> None:
        """`pflops_of` gives the normalised PFLOPS of one card of a model. `table`: of the snapshot before, to be reused."""
        self._pflops_of = pflops_of
        self._nodes: dict[str, NodeRow] = {}
        self._table = table or NodeTable()
        self._waiting: dict[str, WaitingJob] = {}
        self._running: dict[str, RunningAttempt] = {}
        self._quotas: tuple[Quota, ...] = ()
        self._accounts: tuple[Account, ...] = ()
        self._reservations: tuple[Reservation, ...] = ()
        self._services: tuple[Service, ...] = ()
        self._workload: tuple[tuple[Request, int], ...] = ()
        self._prices: dict[str, int] = {}

    def set_node(self, row: NodeRow) -> None:
        """Add or replace a node."""
        self._nodes[row.name] = row

    def set_nodes(self, rows: Iterable[NodeRow]) -> None:
        """Replace all nodes."""
        self._nodes = {row.name: row for row in rows}

    def remove_node(self, name: str) -> None:
        """Forget a node; unknown is fine."""
        self._nodes.pop(name, None)

    def add_waiting(self, row: WaitingJob) -> None:
        """Add or replace a waiting job."""
        self._waiting[row.id] = row

    def remove_waiting(self, job_id: str) -> None:
        """Forget a waiting job; unknown is fine."""
        self._waiting.pop(job_id, None)

    def add_running(self, row: RunningAttempt) -> None:
        """Add or replace an attempt that holds resources."""
        self._running[row.id] = row

    def remove_running(self, attempt_id: str) -> None:
        """Forget an attempt; unknown is fine."""
        self._running.pop(attempt_id, None)

    def set_quotas(self, rows: Iterable[Quota]) -> None:
        """Replace all quotas."""
        self._quotas = tuple(rows)

    def set_accounts(self, rows: Iterable[Account]) -> None:
        """Replace all fair-share rows. Projects without one have weight 1 and no use."""
        self._accounts = tuple(rows)

    def set_reservations(self, rows: Iterable[Reservation]) -> None:
        """Replace all windows in which nodes or devices are held."""
        self._reservations = tuple(rows)

    def set_services(self, rows: Iterable[Service]) -> None:
        """Replace the sample of jobs that ended."""
        self._services = tuple(rows)

    def set_workload(self, counts: Mapping[Request, int]) -> None:
        """Replace the record of what was asked for lately: how many tasks of each request."""
        found = ((request, count) for request, count in counts.items() if count > 0)
        self._workload = most_requested(found)

    def set_prices(self, micro_an_hour: Mapping[str, int]) -> None:
        """Replace the prices of a device-hour by model, in micro-yuan. All models need one, or they count for nothing."""
        self._prices = dict(micro_an_hour)

    def build(self, now_us: int, revision: int = 0) -> Snapshot:
        """Return a snapshot of the current rows. Successive ones share the arrays of machines while these are the same."""
        nodes = self._table.update(self._nodes)
        models, gflops = self._table.models, self._table.gflops(self._pflops_of)
        orgs, projects = _Index(), _Index()
        for account in self._accounts:
            projects((orgs(account.org), account.project))
        arrays, requests = _Index(), _Index()
        users, queues = _Index(), _Index()
        names = _Names(orgs, projects, arrays, requests, users, queues)
        self._table.forget_ended(self._running.keys())
        running = _running(list(self._running.values()), nodes, self._table, gflops, names)
        waiting = _waiting(list(self._waiting.values()), names)
        reservations = _reservations(self._reservations, nodes, orgs, projects)
        quotas = _quotas(self._quotas, models, orgs, projects)
        accounts = _accounts(self._accounts, orgs, projects)
        return Snapshot(
            now_us=now_us,
            revision=revision,
            models=models,
            model_gflops=gflops,
            requests=requests.names(),
            arrays=arrays.names(),
            nodes=nodes,
            running=running,
            waiting=waiting,
            quotas=quotas,
            accounts=accounts,
            users=users.names(),
            queues=queues.names(),
            reservations=reservations,
            services=_services(self._services, users.numbers),
            workload=self._workload,
            model_price_micro=tuple(self._prices[m] for m in models)
            if set(models) <= self._prices.keys()
            else (),
            domains=self._table.domains,
        )


def _services(rows: tuple[Service, ...], users: Mapping[str, int]) -> Services:
    """Return the service rows; users without waiting or running jobs get the index -1."""
    return Services(
        _i64(row.device_us for row in rows),
        _i64(row.devices for row in rows),
        _i64(row.submitted_us for row in rows),
        _i32(users.get(row.user, -1) for row in rows),
    )


def _i64(values: Iterable[int]) -> Any:
    return np.array(list(values), dtype=np.int64)


def _i32(values: Iterable[int]) -> Any:
    return np.array(list(values), dtype=np.int32)


def _bools(values: Iterable[bool]) -> Any:
    return np.array(list(values), dtype=np.bool_)


def _running(
    rows: list[RunningAttempt], nodes: Nodes, table: NodeTable, gflops: Any, names: _Names
) -> Running:
    """Return the columns of running attempts and subtract them from the free arrays of `nodes`. Use on missing nodes is ignored."""
    found = [table.held_by(row) for row in rows]
    held = _joined("T", [tasks for tasks, _ in found]) | _joined("V", [devices for _, devices in found])
    at = held["device_node"], held["device_position"]
    np.subtract.at(nodes.cpu_free, held["task_node"], held["task_cpu"])
    np.subtract.at(nodes.memory_free, held["task_node"], held["task_memory"])
    np.subtract.at(nodes.device_memory_free, at, held["device_memory"])
    np.subtract.at(nodes.device_compute_free, at, held["device_compute"])
    for free in (nodes.cpu_free, nodes.memory_free, nodes.device_memory_free, nodes.device_compute_free):
        np.maximum(free, 0, out=free)  # what shrank under its jobs offers nothing; it must not stop the rest
    used = np.zeros((3, len(rows)), dtype=np.int64)
    if len(held["device_attempt"]):
        model = nodes.device_model[at]
        np.add.at(used[0], held["device_attempt"], gflops[model] * held["device_card_bp"] // FULL_BP)
    np.add.at(used[1], held["task_attempt"], held["task_cpu"])
    np.add.at(used[2], held["task_attempt"], held["task_memory"])
    return Running(
        **_filled(columns_of(Running, "R"), rows, names, {
            "expected_end_us": lambda row: row.expected_end_us or UNKNOWN_US,
            "predicted_end_us": lambda row: _end_us(row, row.predicted_s),
            "predicted_low_us": lambda row: _end_us(row, row.predicted_low_s),
            "predicted_high_us": lambda row: _end_us(row, row.predicted_high_s),
        }, gflops=used[0], cpu=used[1], memory=used[2]),
        **held,
    )  # fmt: skip


def _joined(axis: str, parts: Sequence[I64]) -> dict[str, Any]:
    """Return the columns of an axis from a table for each attempt, which has all of them but the attempt's number."""
    owner, *columns = columns_of(Running, axis)
    table = np.concatenate(parts or [np.zeros((0, len(columns)), dtype=np.int64)]).T
    counts = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    found = {owner.name: np.repeat(np.arange(len(parts)), counts).astype(owner.dtype)}
    return found | {column.name: table[n].astype(column.dtype) for n, column in enumerate(columns)}


def split_columns(columns: Sequence[Column], rows: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """Return the columns of rows that have a value for each of them, in their order."""
    table = np.array(rows, dtype=np.int64).reshape(-1, len(columns)).T
    return {column.name: table[number].astype(column.dtype) for number, column in enumerate(columns)}


def _end_us(row: RunningAttempt, run_s: float | None) -> int:
    return 0 if run_s is None else row.started_us + round(run_s * 1e6)


def _run_us(run_s: float | None) -> int:
    return round((run_s or 0) * 1e6)


def _waiting(rows: list[WaitingJob], names: _Names) -> Waiting:
    derived: Mapping[str, Callable[[Any], int]] = {
        "tasks": lambda row: max(row.tasks, 1),
        "limit_us": lambda row: _run_us(row.time_limit_s),
        "predicted_us": lambda row: _run_us(row.predicted_s),
        "predicted_low_us": lambda row: _run_us(row.predicted_low_s),
        "predicted_high_us": lambda row: _run_us(row.predicted_high_s),
        "array_limit": lambda row: NO_LIMIT if row.array_limit is None else row.array_limit,
    }
    return Waiting(**_filled(columns_of(Waiting), rows, names, derived))


def _filled(
    columns: Sequence[Column],
    rows: Sequence[Any],
    names: _Names,
    derived: Mapping[str, Callable[[Any], int]],
    **given: Any,
) -> dict[str, Any]:
    """Return columns of rows: the `given` ones, those `derived` from a row, and all others from the attribute of their name.

    A column that refers to an axis has the numbers of its names there; an empty name has none.
    """
    found = dict(given)
    org = [names.orgs(row.org) for row in rows]
    for column in columns:
        if column.name in found:
            continue
        if column.dtype is None:
            found[column.name] = tuple(map(attrgetter(column.name.removesuffix("s")), rows))
            continue
        values: Iterable[Any] = map(derived.get(column.name) or attrgetter(column.name), rows)
        if column.refers == "O":
            values = org
        elif column.refers == "P":
            values = map(names.projects, zip(org, values, strict=True))
        elif column.refers:
            index = names.on(column.refers)
            values = (index(name) if name else -1 for name in values)
        found[column.name] = np.fromiter(values, dtype=column.dtype, count=len(rows))
    return found


def _reservations(
    rows: tuple[Reservation, ...], nodes: Nodes, orgs: _Index, projects: _Index
) -> Reservations:
    """Return one row for each held node or device; those on missing nodes are left out."""
    node_of = {name: i for i, name in enumerate(nodes.names)}
    found: list[tuple[Reservation, int, int]] = []
    for row in rows:
        node = node_of.get(row.node)
        if node is None:
            continue
        position = -1
        if row.device is not None:
            at = np.flatnonzero(nodes.device_index[node] == row.device)
            if not len(at):
                continue
            position = int(at[0])
        found.append((row, node, position))
    return Reservations(
        ids=tuple(row.id for row, _, _ in found),
        org=_i32(orgs(row.org) if row.org else -1 for row, _, _ in found),
        project=_i32(projects((orgs(row.org), row.project)) if row.project else -1 for row, _, _ in found),
        start_us=_i64(row.start_us for row, _, _ in found),
        end_us=_i64(row.end_us for row, _, _ in found),
        node=_i32(node for _, node, _ in found),
        position=_i32(position for _, _, position in found),
    )


def _quotas(rows: tuple[Quota, ...], models: tuple[str, ...], orgs: _Index, projects: _Index) -> Quotas:
    kinds, masks = [], np.zeros((len(rows), len(models)), dtype=np.bool_)
    for i, row in enumerate(rows):
        kind, _, pattern = row.resource.partition(":")
        if kind not in QUOTA_KINDS or (pattern and kind != "cards"):
            raise InvalidInput(
                text(
                    "A quota is on pflops, cards, cpus or cards:<model>, not on {resource}",
                    resource=row.resource,
                )
            )
        kinds.append(QUOTA_KINDS.index(kind))
        allowed = set(match_models((pattern,), models)) if pattern else set(models)
        masks[i] = [model in allowed for model in models]

    def amount(row: Quota, value: float | None) -> int:
        return NO_LIMIT if value is None else round(value * _QUOTA_UNIT[row.resource.partition(":")[0]])

    return Quotas(
        org=_i32(orgs(row.org) for row in rows),
        project=_i32(projects((orgs(row.org), row.project)) if row.project else -1 for row in rows),
        kind=_i32(kinds),
        models=masks,
        guaranteed=_i64(amount(row, row.guaranteed) for row in rows),
        maximum=_i64(amount(row, row.maximum) for row in rows),
        borrow=_bools(row.borrow for row in rows),
        labels=tuple(row.resource for row in rows),
    )


def _accounts(rows: tuple[Account, ...], orgs: _Index, projects: _Index) -> Accounts:
    count = len(projects.numbers)
    usage, weight = np.zeros((count, 3)), np.ones(count)
    org_weight = np.ones(len(orgs.numbers))
    for row in rows:
        o = orgs(row.org)
        p = projects((o, row.project))
        usage[p] = (row.usage.pflops_h, row.usage.cpu_h, row.usage.memory_gib_h)
        weight[p], org_weight[o] = row.weight, row.org_weight
    return Accounts(
        orgs=orgs.names(),
        projects=tuple(name for _, name in projects.names()),
        project_org=_i32(o for o, _ in projects.names()),
        org_weight=org_weight,
        project_weight=weight,
        usage=usage,
    )


def build(
    *,
    now_us: int,
    nodes: Iterable[NodeRow],
    waiting: Iterable[WaitingJob] = (),
    running: Iterable[RunningAttempt] = (),
    quotas: Iterable[Quota] = (),
    accounts: Iterable[Account] = (),
    reservations: Iterable[Reservation] = (),
    services: Iterable[Service] = (),
    workload: Mapping[Request, int] | None = None,
    pflops_of: PflopsOf = lambda model: 1.0,
    revision: int = 0,
) -> Snapshot:
    """Return a snapshot built from rows in one call: for tests, replays and questions at submit."""
    builder = SnapshotBuilder(pflops_of)
    builder.set_nodes(nodes)
    for job in waiting:
        builder.add_waiting(job)
    for attempt in running:
        builder.add_running(attempt)
    builder.set_quotas(quotas)
    builder.set_accounts(accounts)
    builder.set_reservations(reservations)
    builder.set_services(services)
    builder.set_workload(workload or {})
    return builder.build(now_us, revision)
