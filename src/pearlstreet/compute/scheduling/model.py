"""Frozen values the planner takes: a snapshot of the center as arrays (struct of arrays).

Units: CPU in thousandths of a core, memory in MiB, device compute in basis points, normalised compute in GFLOPS, time in
microseconds. Integers everywhere, so that sums are exact. A device sits at a position of its node's row, in the order
the engine reported; `device_index` is the engine's own number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling.rows import Request

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNKNOWN_US = 0
"""An expected end or a limit that nobody knows."""
NO_LIMIT = -1


class MachineCache(Protocol):
    """Values that depend only on the machines of a snapshot; `topology_cache` implements it."""

    def of(self, snapshot: Snapshot) -> bool:
        """Return whether the snapshot has the machines of this cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """N machines and, padded to D, their devices."""

    names: tuple[str, ...]
    cpu_total: I64
    cpu_free: I64
    memory_total: I64
    memory_free: I64
    schedulable: Bools
    rack: I32
    """Index of the rack; -1: unknown."""
    pod: I32
    domain: I32
    """Index of the part of the center that no gang may span, from 0."""
    device_model: I32
    """[N, D]; -1: no such device."""
    device_index: I32
    device_link: I32
    device_healthy: Bools
    device_memory_total: I64
    device_memory_free: I64
    device_compute_free: I64
    """[N, D] basis points; a whole device has 10,000."""

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int:
        """D: devices of the largest node."""
        return int(self.device_model.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """R attempts that hold resources, and what they hold: one row a task, one row a device."""

    ids: tuple[str, ...]
    job_ids: tuple[str, ...]
    org: I32
    project: I32
    array: I32
    """Index into `Snapshot.arrays`; -1: none."""
    priority: I64
    started_us: I64
    expected_end_us: I64
    """UNKNOWN_US when nobody knows."""
    preemptible: Bools
    ending: Bools
    gflops: I64
    cpu: I64
    memory: I64
    task_attempt: I32
    task_node: I32
    task_cpu: I64
    task_memory: I64
    device_attempt: I32
    device_node: I32
    device_position: I32
    device_memory: I64
    device_compute: I64
    device_card_bp: I64
    """Part of a card that each running attempt counts as, in basis points."""
    submitted_us: I64
    """Submit time of its job, in µs."""
    request: I32
    """Index into `Snapshot.requests`; -1: unknown, it cannot be planned anew."""
    user: I32
    """Index into `Snapshot.users`; -1: unknown."""
    queue: I32
    """Index into `Snapshot.queues`; -1: none."""
    served_device_us: I64
    """Device time of the job's earlier attempts; the present one's is not in it."""
    deadline_us: I64
    """Deadline in µs; 0: none."""
    predicted_end_us: I64
    """A guess, told or learnt; 0: none. Never a promise: `expected_end_us` is what will be enforced."""
    predicted_low_us: I64
    """The end that one job in ten comes before; 0: none."""
    predicted_high_us: I64
    """The end that nine jobs in ten keep; 0: none."""
    min_tasks: I64
    """Fewest members the gang can run with; 0: it is not elastic."""
    max_tasks: I64
    asked_tasks: I64
    """Members its job asked to start with; 0: not known."""
    resumes_tasks: I64
    """Number of members with which it will resume after the stop under way; 0: it is not being resized."""

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """W jobs or array elements that wait; their dependencies are met."""

    ids: tuple[str, ...]
    org: I32
    project: I32
    request: I32
    """Index into `Snapshot.requests`."""
    tasks: I64
    priority: I64
    submitted_us: I64
    limit_us: I64
    """Enforced run time; 0: none."""
    predicted_us: I64
    """Run time still to come, told or learnt (then the median); 0: not known."""
    preemptible: Bools
    not_before_us: I64
    deadline_us: I64
    """Deadline in µs; 0: none."""
    array: I32
    element: I64
    array_limit: I64
    """Largest number of elements that run at once; -1: no limit."""
    user: I32
    """Index into `Snapshot.users`; -1: unknown."""
    queue: I32
    """Index into `Snapshot.queues`; -1: none."""
    served_device_us: I64
    """Device time of the job's earlier attempts."""
    predicted_low_us: I64
    """Run time that one job in ten stays below; 0: not known."""
    predicted_high_us: I64
    """Run time that nine jobs in ten stay below; 0: not known."""
    min_tasks: I64
    """Fewest members the gang can run with; 0: it is not elastic."""
    max_tasks: I64
    resumes_tasks: I64
    """Largest number of members with which a stopped job resumes, before all others; 0: it was not resized."""

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Quotas:
    """Q limits. Amounts: GFLOPS for pflops, basis points for cards, thousandths for cpus."""

    org: I32
    project: I32
    """Index of the project; -1: the whole organisation."""
    kind: I32
    """Kind of resource: 0 PFLOPS, 1 cards, 2 CPUs."""
    models: Bools
    """[Q, M]: models it counts."""
    guaranteed: I64
    """Guaranteed amount; -1: no guarantee."""
    maximum: I64
    borrow: Bools
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """Organisations and projects: names, weights, decayed usage [·, 3] in PFLOPS·h, CPU·h, GiB·h."""

    orgs: tuple[str, ...]
    projects: tuple[str, ...]
    project_org: I32
    org_weight: F64
    project_weight: F64
    usage: F64
    """[P, 3]"""


@dataclass(frozen=True, slots=True, eq=False)
class Reservations:
    """Nodes or devices held in a window, for an account or for maintenance: one row a node or device."""

    ids: tuple[str, ...]
    org: I32
    """Index of the organisation; -1: maintenance, held for nobody."""
    project: I32
    """Index of the project; -1: any project of the organisation."""
    start_us: I64
    end_us: I64
    node: I32
    position: I32
    """Position of the device in its node; -1: the whole node."""

    @property
    def count(self) -> int:
        return len(self.ids)


def no_reservations() -> Reservations:
    """Return an empty table of reservations."""
    i32, i64 = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    return Reservations((), i32, i32, i64, i64, i32, i32)


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """Jobs that ended lately: what a distribution of service is learnt from. One row a job, in no order that counts."""

    device_us: I64
    """Whole device time."""
    devices: I64
    submitted_us: I64
    user: I32
    """Index into `Snapshot.users`; -1: nobody whose jobs wait or run, or unknown."""

    @property
    def count(self) -> int:
        return len(self.device_us)


def no_services() -> Services:
    """Return an empty table of services."""
    i64 = np.zeros(0, dtype=np.int64)
    return Services(i64, i64, i64, np.zeros(0, dtype=np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything a plan depends on. The same snapshot and configuration give the same plan, always."""

    now_us: int
    revision: int
    models: tuple[str, ...]
    model_gflops: I64
    requests: tuple[Request, ...]
    arrays: tuple[str, ...]
    nodes: Nodes
    running: Running
    waiting: Waiting
    quotas: Quotas
    accounts: Accounts
    users: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    reservations: Reservations = field(default_factory=no_reservations)
    services: Services = field(default_factory=no_services)
    workload: tuple[tuple[Request, int], ...] = ()
    """Recent requests of tasks with their counts; empty: no record."""
    model_price_micro: tuple[int, ...] = ()
    """Price of a device-hour of each model in micro-yuan; empty: not known."""
    topology_cache: MachineCache | None = None
    """Results about its machines that later plans reuse; not part of the value."""
    notes: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """Cache of values derived from the snapshot; not part of the value."""

    def to_json(self) -> dict[str, object]:
        """Return a JSON form for the decision log; `snapshot_from_json` reads it back exactly."""
        return {
            "now_us": self.now_us,
            "revision": self.revision,
            "models": list(self.models),
            "model_gflops": self.model_gflops.tolist(),
            "requests": [asdict(request) for request in self.requests],
            "arrays": list(self.arrays),
            "nodes": _table_json(self.nodes),
            "running": _table_json(self.running),
            "waiting": _table_json(self.waiting),
            "quotas": _table_json(self.quotas),
            "accounts": _table_json(self.accounts),
            "users": list(self.users),
            "queues": list(self.queues),
            "reservations": _table_json(self.reservations),
            "services": _table_json(self.services),
            "workload": [[asdict(request), count] for request, count in self.workload],
            "model_price_micro": list(self.model_price_micro),
        }


_UNKNOWN = {"request": -1, "user": -1, "queue": -1}
_LATER = frozenset({
    "submitted_us", "request", "user", "queue", "served_device_us", "deadline_us", "predicted_end_us",
    "predicted_low_us", "predicted_high_us", "min_tasks", "max_tasks", "asked_tasks", "resumes_tasks",
})  # fmt: skip
"""Columns that older snapshots do not have: 0 stands in for them, -1 where `_UNKNOWN` says so."""
_DTYPES: dict[str, Any] = {"I64": np.int64, "I32": np.int32, "F64": np.float64, "Bools": np.bool_}


def _table_json(table: Any) -> dict[str, Any]:
    columns = {column.name: getattr(table, column.name) for column in fields(table)}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else list(value)
        for name, value in columns.items()
    }


def _table_from_json(kind: Any, value: Mapping[str, Any], widths: Mapping[str, int]) -> Any:
    columns: dict[str, object] = {}
    for column in fields(kind):
        dtype = _DTYPES.get(str(column.type))
        raw: Any = value.get(column.name)
        if raw is None and column.name in _LATER:
            raw = [_UNKNOWN.get(column.name, 0)] * len(value["ids"])
        if dtype is None:
            columns[column.name] = tuple(raw)
            continue
        array = np.asarray(raw, dtype=dtype)
        if column.name in widths:
            array = array.reshape(len(raw), widths[column.name])
        columns[column.name] = array
    return kind(**columns)


def _request_from_json(value: Mapping[str, Any]) -> Request:
    share = value["share"]
    return Request(
        accelerators=tuple(value["accelerators"]),
        count=value["count"],
        share=None if share is None else ShareRequest(**share),
        cpu_milli=value["cpu_milli"],
        memory_mib=value["memory_mib"],
        speeds=tuple((pattern, speed) for pattern, speed in value.get("speeds", ())),
    )


def _services_from_json(value: Any) -> Services:
    """Read the service rows; older snapshots have device times only."""
    if isinstance(value, Mapping):
        return Services(
            np.asarray(value["device_us"], dtype=np.int64), np.asarray(value["devices"], dtype=np.int64),
            np.asarray(value["submitted_us"], dtype=np.int64), np.asarray(value["user"], dtype=np.int32),
        )  # fmt: skip
    device_us = np.asarray(value, dtype=np.int64)
    return Services(
        device_us, np.ones_like(device_us), np.zeros_like(device_us), np.full(len(device_us), -1, np.int32)
    )


def snapshot_from_json(value: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `Snapshot.to_json` wrote."""
    device_columns = [column.name for column in fields(Nodes) if column.name.startswith("device_")]
    first = value["nodes"]["device_model"]
    width = len(first[0]) if first else 0
    one_domain = {"domain": [0] * len(first)}  # of a center that was written before centers had several
    return Snapshot(
        now_us=value["now_us"],
        revision=value["revision"],
        models=tuple(value["models"]),
        model_gflops=np.asarray(value["model_gflops"], dtype=np.int64),
        requests=tuple(_request_from_json(request) for request in value["requests"]),
        arrays=tuple(value["arrays"]),
        nodes=_table_from_json(Nodes, {**one_domain, **value["nodes"]}, dict.fromkeys(device_columns, width)),
        running=_table_from_json(Running, value["running"], {}),
        waiting=_table_from_json(Waiting, value["waiting"], {}),
        quotas=_table_from_json(Quotas, value["quotas"], {"models": len(value["models"])}),
        accounts=_table_from_json(Accounts, value["accounts"], {"usage": 3}),
        users=tuple(value.get("users", ())),
        queues=tuple(value.get("queues", ())),
        reservations=_table_from_json(Reservations, value["reservations"], {})
        if "reservations" in value
        else no_reservations(),
        services=_services_from_json(value.get("services", ())),
        workload=tuple((_request_from_json(request), count) for request, count in value.get("workload", ())),
        model_price_micro=tuple(value.get("model_price_micro", ())),
    )
