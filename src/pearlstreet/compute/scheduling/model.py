"""Frozen values the planner takes: a snapshot of the center as arrays (struct of arrays).

Units: CPU in thousandths of a core, memory in MiB, device compute in basis points, normalised compute in GFLOPS, time in
microseconds. Integers everywhere, so that sums are exact. A device sits at a position of its node's row, in the order
the engine reported; `device_index` is the engine's own number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

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
    """-1: unknown."""
    pod: I32
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
    """How much of a card it counts as."""

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
    preemptible: Bools
    not_before_us: I64
    deadline_us: I64
    """0: none."""
    array: I32
    element: I64
    array_limit: I64
    """-1: none."""

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Quotas:
    """Q limits. Amounts: GFLOPS for pflops, basis points for cards, thousandths for cpus."""

    org: I32
    project: I32
    """-1: the whole organisation."""
    kind: I32
    """0 pflops, 1 cards, 2 cpus."""
    models: Bools
    """[Q, M]: models it counts."""
    guaranteed: I64
    """-1: none."""
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

    def to_json(self) -> dict[str, Any]:
        """A form for the decision log; `snapshot_from_json` reads it back exactly."""
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
        }


_DTYPES: dict[str, Any] = {"I64": np.int64, "I32": np.int32, "F64": np.float64, "Bools": np.bool_}


def _table_json(table: Any) -> dict[str, Any]:
    columns = {column.name: getattr(table, column.name) for column in fields(table)}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else list(value)
        for name, value in columns.items()
    }


def _table_from_json(kind: Any, value: Mapping[str, Any], widths: Mapping[str, int]) -> Any:
    columns: dict[str, Any] = {}
    for column in fields(kind):
        dtype = _DTYPES.get(str(column.type))
        raw = value[column.name]
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
    )


def snapshot_from_json(value: Mapping[str, Any]) -> Snapshot:
    """The snapshot that `Snapshot.to_json` wrote."""
    device_columns = [column.name for column in fields(Nodes) if column.name.startswith("device_")]
    first = value["nodes"]["device_model"]
    width = len(first[0]) if first else 0
    return Snapshot(
        now_us=value["now_us"],
        revision=value["revision"],
        models=tuple(value["models"]),
        model_gflops=np.asarray(value["model_gflops"], dtype=np.int64),
        requests=tuple(_request_from_json(request) for request in value["requests"]),
        arrays=tuple(value["arrays"]),
        nodes=_table_from_json(Nodes, value["nodes"], dict.fromkeys(device_columns, width)),
        running=_table_from_json(Running, value["running"], {}),
        waiting=_table_from_json(Waiting, value["waiting"], {}),
        quotas=_table_from_json(Quotas, value["quotas"], {"models": len(value["models"])}),
        accounts=_table_from_json(Accounts, value["accounts"], {"usage": 3}),
    )
