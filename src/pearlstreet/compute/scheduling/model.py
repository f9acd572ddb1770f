"""Frozen values the planner takes: a snapshot of the center as arrays (struct of arrays).

Units: CPU in thousandths of a core, memory in MiB, device compute in basis points, normalised compute in GFLOPS, time in
microseconds. Integers everywhere, so that sums are exact. A device sits at a position of its node's row, in the order
the engine reported; `device_index` is the engine's own number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.compute.scheduling.schema import Column, TableReader, empty_table, table_to_json

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNKNOWN_US = 0
"""An expected end or a limit that nobody knows."""
NO_LIMIT = -1


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """N machines and, padded to D, their devices."""

    # fmt: off
    names: Annotated[tuple[str, ...], Column("N", "name", "Name of each node")]
    cpu_total: Annotated[I64, Column("N", "1/1000 core", "Processors that jobs may use")]
    cpu_free: Annotated[I64, Column("N", "1/1000 core", "Processors that nothing holds")]
    memory_total: Annotated[I64, Column("N", "MiB", "Memory that jobs may use")]
    memory_free: Annotated[I64, Column("N", "MiB", "Memory that nothing holds")]
    schedulable: Annotated[Bools, Column("N", "flag", "Whether new tasks may be placed on the node")]
    rack: Annotated[I32, Column("N", "index", "Rack of the node; -1: unknown")]
    pod: Annotated[I32, Column("N", "index", "POD of the node; -1: unknown")]
    domain: Annotated[I32, Column("N", "index", "Engine domain of the node, which no gang may span", default=0)]
    device_model: Annotated[I32, Column("ND", "index", "Model; -1: no such device", refers="M", optional=True)]
    device_index: Annotated[I32, Column("ND", "number", "The engine's own number of the device; -1: no such device")]
    device_link: Annotated[I32, Column("ND", "number", "Group of devices that share the node's fastest link")]
    device_healthy: Annotated[Bools, Column("ND", "flag", "Whether the device may be used")]
    device_memory_total: Annotated[I64, Column("ND", "MiB", "Memory of the device")]
    device_memory_free: Annotated[I64, Column("ND", "MiB", "Memory of the device that nothing holds")]
    device_compute_free: Annotated[I64, Column("ND", "basis points", "Compute that nothing holds; a whole device has 10,000")]
    # fmt: on

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int:
        """D: devices of the largest node."""
        return int(self.device_model.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """R attempts that hold resources, and what they hold: T rows of tasks, V rows of devices, both in the order of R."""

    # fmt: off
    ids: Annotated[tuple[str, ...], Column("R", "id", "Attempt")]
    job_ids: Annotated[tuple[str, ...], Column("R", "id", "Job of the attempt")]
    org: Annotated[I32, Column("R", "index", "Organisation", refers="O")]
    project: Annotated[I32, Column("R", "index", "Project", refers="P")]
    array: Annotated[I32, Column("R", "index", "Job array; -1: none", refers="A", optional=True, default=-1)]
    priority: Annotated[I64, Column("R", "number", "Priority; larger runs first")]
    started_us: Annotated[I64, Column("R", "µs", "Start of the attempt")]
    expected_end_us: Annotated[I64, Column("R", "µs", "End that will be enforced; 0: not known")]
    preemptible: Annotated[Bools, Column("R", "flag", "Whether it may be stopped for another job")]
    ending: Annotated[Bools, Column("R", "flag", "Whether it was told to stop and will release its resources soon")]
    gflops: Annotated[I64, Column("R", "GFLOPS", "Normalised compute of its devices")]
    cpu: Annotated[I64, Column("R", "1/1000 core", "Processors of all its tasks")]
    memory: Annotated[I64, Column("R", "MiB", "Memory of all its tasks")]
    task_attempt: Annotated[I32, Column("T", "index", "Attempt that the task is part of", refers="R")]
    task_node: Annotated[I32, Column("T", "index", "Node of the task", refers="N")]
    task_cpu: Annotated[I64, Column("T", "1/1000 core", "Processors of the task")]
    task_memory: Annotated[I64, Column("T", "MiB", "Memory of the task")]
    device_attempt: Annotated[I32, Column("V", "index", "Attempt that holds the device, or part of it", refers="R")]
    device_node: Annotated[I32, Column("V", "index", "Node of the device", refers="N")]
    device_position: Annotated[I32, Column("V", "index", "Position of the device in its node", refers="D")]
    device_memory: Annotated[I64, Column("V", "MiB", "Memory of the device that it holds")]
    device_compute: Annotated[I64, Column("V", "basis points", "Compute of the device that it holds")]
    device_card_bp: Annotated[I64, Column("V", "basis points", "Part of a card that this counts as")]
    submitted_us: Annotated[I64, Column("R", "µs", "Submit time of its job", default=0)]
    request: Annotated[I32, Column("R", "index", "Request; -1: it cannot be planned anew", refers="E", optional=True, default=-1)]
    user: Annotated[I32, Column("R", "index", "User; -1: unknown", refers="U", optional=True, default=-1)]
    queue: Annotated[I32, Column("R", "index", "Queue; -1: none", refers="K", optional=True, default=-1)]
    served_device_us: Annotated[I64, Column("R", "device·µs", "Device time of the job's earlier attempts, without this one", default=0)]
    deadline_us: Annotated[I64, Column("R", "µs", "Deadline of its job; 0: none", default=0)]
    predicted_end_us: Annotated[I64, Column("R", "µs", "End that is guessed, never a promise; 0: no guess", default=0)]
    predicted_low_us: Annotated[I64, Column("R", "µs", "End that one job in ten comes before; 0: not known", default=0)]
    predicted_high_us: Annotated[I64, Column("R", "µs", "End that nine jobs in ten keep; 0: not known", default=0)]
    min_tasks: Annotated[I64, Column("R", "tasks", "Fewest tasks the gang can run with; 0: it is not elastic", default=0)]
    max_tasks: Annotated[I64, Column("R", "tasks", "Most tasks the gang can run with; 0: it is not elastic", default=0)]
    asked_tasks: Annotated[I64, Column("R", "tasks", "Tasks that its job asked to start with; 0: not known", default=0)]
    resumes_tasks: Annotated[I64, Column("R", "tasks", "Tasks with which it resumes after the stop under way; 0: it is not being resized", default=0)]
    # fmt: on

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """W jobs or array elements that wait; their dependencies are met."""

    # fmt: off
    ids: Annotated[tuple[str, ...], Column("W", "id", "Job or array element")]
    org: Annotated[I32, Column("W", "index", "Organisation", refers="O")]
    project: Annotated[I32, Column("W", "index", "Project", refers="P")]
    request: Annotated[I32, Column("W", "index", "Request of one task", refers="E")]
    tasks: Annotated[I64, Column("W", "tasks", "Tasks of the gang: all start together or none")]
    priority: Annotated[I64, Column("W", "number", "Priority; larger runs first")]
    submitted_us: Annotated[I64, Column("W", "µs", "Submit time")]
    limit_us: Annotated[I64, Column("W", "µs", "Run time that is enforced; 0: none")]
    predicted_us: Annotated[I64, Column("W", "µs", "Run time still to come, told or learnt (then the median); 0: not known")]
    preemptible: Annotated[Bools, Column("W", "flag", "Whether it may be stopped for another job")]
    not_before_us: Annotated[I64, Column("W", "µs", "Earliest start", default=0)]
    deadline_us: Annotated[I64, Column("W", "µs", "Deadline; 0: none", default=0)]
    array: Annotated[I32, Column("W", "index", "Job array; -1: none", refers="A", optional=True, default=-1)]
    element: Annotated[I64, Column("W", "number", "Number of the array element", default=0)]
    array_limit: Annotated[I64, Column("W", "elements", "Most elements of the array that run at once; -1: no limit", default=-1)]
    user: Annotated[I32, Column("W", "index", "User; -1: unknown", refers="U", optional=True, default=-1)]
    queue: Annotated[I32, Column("W", "index", "Queue; -1: none", refers="K", optional=True, default=-1)]
    served_device_us: Annotated[I64, Column("W", "device·µs", "Device time of the job's earlier attempts", default=0)]
    predicted_low_us: Annotated[I64, Column("W", "µs", "Run time that one job in ten stays below; 0: not known", default=0)]
    predicted_high_us: Annotated[I64, Column("W", "µs", "Run time that nine jobs in ten stay below; 0: not known", default=0)]
    min_tasks: Annotated[I64, Column("W", "tasks", "Fewest tasks the gang can run with; 0: it is not elastic", default=0)]
    max_tasks: Annotated[I64, Column("W", "tasks", "Most tasks the gang can run with; 0: it is not elastic", default=0)]
    resumes_tasks: Annotated[I64, Column("W", "tasks", "Most tasks with which a stopped job resumes, before all others; 0: it was not resized", default=0)]
    # fmt: on

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Quotas:
    """Q limits. Amounts: GFLOPS for pflops, basis points for cards, thousandths for cpus."""

    # fmt: off
    org: Annotated[I32, Column("Q", "index", "Organisation", refers="O")]
    project: Annotated[I32, Column("Q", "index", "Project; -1: the whole organisation", refers="P", optional=True)]
    kind: Annotated[I32, Column("Q", "index", "Kind of resource: 0 PFLOPS, 1 cards, 2 CPUs", refers="3")]
    models: Annotated[Bools, Column("QM", "flag", "Models that it counts")]
    guaranteed: Annotated[I64, Column("Q", "by kind", "Guaranteed amount; -1: no guarantee")]
    maximum: Annotated[I64, Column("Q", "by kind", "Largest amount; -1: no limit")]
    borrow: Annotated[Bools, Column("Q", "flag", "Whether use beyond the guarantee may borrow what is idle")]
    labels: Annotated[tuple[str, ...], Column("Q", "name", "Resource as its owner wrote it")]
    # fmt: on


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """Organisations and projects: names, weights, decayed usage."""

    # fmt: off
    orgs: Annotated[tuple[str, ...], Column("O", "id", "Organisation")]
    projects: Annotated[tuple[str, ...], Column("P", "id", "Project")]
    project_org: Annotated[I32, Column("P", "index", "Organisation of the project", refers="O")]
    org_weight: Annotated[F64, Column("O", "weight", "Fair-share weight of the organisation")]
    project_weight: Annotated[F64, Column("P", "weight", "Fair-share weight of the project in its organisation")]
    usage: Annotated[F64, Column("P3", "PFLOPS·h, CPU·h, GiB·h", "Decayed use")]
    # fmt: on


@dataclass(frozen=True, slots=True, eq=False)
class Reservations:
    """Nodes or devices held in a window, for an account or for maintenance: one row a node or device."""

    # fmt: off
    ids: Annotated[tuple[str, ...], Column("H", "id", "Reservation")]
    org: Annotated[I32, Column("H", "index", "Organisation; -1: maintenance, held for nobody", refers="O", optional=True)]
    project: Annotated[I32, Column("H", "index", "Project; -1: any of the organisation", refers="P", optional=True)]
    start_us: Annotated[I64, Column("H", "µs", "Begin of the window")]
    end_us: Annotated[I64, Column("H", "µs", "End of the window")]
    node: Annotated[I32, Column("H", "index", "Node that is held", refers="N")]
    position: Annotated[I32, Column("H", "index", "Position of the held device; -1: the whole node", refers="D", optional=True)]
    # fmt: on

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """Jobs that ended lately: what a distribution of service is learnt from. One row a job, in no order that counts."""

    # fmt: off
    device_us: Annotated[I64, Column("S", "device·µs", "Whole device time")]
    devices: Annotated[I64, Column("S", "devices", "Devices that it held", default=1)]
    submitted_us: Annotated[I64, Column("S", "µs", "Submit time", default=0)]
    user: Annotated[I32, Column("S", "index", "User; -1: nobody whose jobs wait or run, or unknown", refers="U", optional=True, default=-1)]
    # fmt: on

    @property
    def count(self) -> int:
        return len(self.device_us)


TABLES: Mapping[str, type] = MappingProxyType(
    {
        "nodes": Nodes, "running": Running, "waiting": Waiting, "quotas": Quotas, "accounts": Accounts,
        "reservations": Reservations, "services": Services,
    }
)  # fmt: skip
"""Tables of a snapshot by the name of its field."""


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
    reservations: Reservations = field(default_factory=lambda: empty_table(Reservations))
    services: Services = field(default_factory=lambda: empty_table(Services))
    workload: tuple[tuple[Request, int], ...] = ()
    """Recent requests of tasks with their counts; empty: no record."""
    model_price_micro: tuple[int, ...] = ()
    """Price of a device-hour of each model in micro-yuan; empty: not known."""
    domains: tuple[str, ...] = ()
    """Names of the domains by their index; empty: not known."""

    def to_json(self) -> dict[str, object]:
        """Return a JSON form for the decision log; `snapshot_from_json` reads it back exactly."""
        return {
            "now_us": self.now_us,
            "revision": self.revision,
            "models": list(self.models),
            "model_gflops": self.model_gflops.tolist(),
            "requests": [asdict(request) for request in self.requests],
            "arrays": list(self.arrays),
            **{name: table_to_json(getattr(self, name)) for name in TABLES},
            "users": list(self.users),
            "queues": list(self.queues),
            "workload": [[asdict(request), count] for request, count in self.workload],
            "model_price_micro": list(self.model_price_micro),
            "domains": list(self.domains),
        }


def _request_from_json(value: Mapping[str, Any]) -> Request:
    share = value["share"]
    return Request(
        accelerators=tuple(value["accelerators"]),
        count=value["count"],
        share=None if share is None else ShareRequest(**share),
        cpu_milli=value["cpu_milli"],
        memory_mib=value["memory_mib"],
        speeds=tuple((pattern, speed) for pattern, speed in value.get("speeds", ())),
        domains=tuple(value.get("domains", ())),
    )


def snapshot_from_json(value: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `Snapshot.to_json` wrote, now or before. Raises InvalidInput naming what is wrong with a column."""
    models, requests = tuple(value["models"]), tuple(map(_request_from_json, value["requests"]))
    arrays, users, queues = (tuple(value.get(name, ())) for name in ("arrays", "users", "queues"))
    sizes = {
        "M": len(models),
        "E": len(requests),
        "A": len(arrays),
        "U": len(users),
        "K": len(queues),
        "3": 3,
    }
    reader, stored = TableReader(sizes), {**_OLDER, **value}
    if isinstance(stored["services"], list):  # older versions stored device times only
        stored["services"] = {"device_us": stored["services"]}
    tables: dict[str, Any] = {name: reader.read(name, table, stored[name]) for name, table in TABLES.items()}
    reader.check_references()
    return Snapshot(
        now_us=value["now_us"],
        revision=value["revision"],
        models=models,
        model_gflops=np.asarray(value["model_gflops"], dtype=np.int64),
        requests=requests,
        arrays=arrays,
        users=users,
        queues=queues,
        workload=tuple((_request_from_json(request), count) for request, count in value.get("workload", ())),
        model_price_micro=tuple(value.get("model_price_micro", ())),
        domains=tuple(value.get("domains", ())),
        **tables,
    )


_OLDER: Mapping[str, Any] = {"reservations": table_to_json(empty_table(Reservations)), "services": []}
"""Tables that older snapshots do not have."""
