"""Plain rows that a snapshot is built from: what the live loop, a replay or a test knows about one thing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.pool.slices import FULL_BP, MIB_PER_GIB, ShareRequest

BUILDS = "(builds)"
"""Name of the queue of builds of environments, and of the group that limits how many run at once. No tenant can name it."""
NO_DOMAIN = "(none)"
"""Domain of a request that no domain may take: its queue allows none of those that it can use. No engine has the name."""
MIG = "mig"
_TOKEN = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Request:
    """Resources that one task needs on one node. Hashable, since equal requests are planned together."""

    accelerators: tuple[str, ...] = ()
    """Patterns of allowed models (`H100`, `a100-80g`); empty or `any` allows every model."""
    count: int = 0
    """Whole devices; all of one model within a job."""
    share: ShareRequest | None = None
    """A part of one device instead of whole ones."""
    cpu_milli: int = 0
    memory_mib: int = 0
    speeds: tuple[tuple[str, float], ...] = ()
    """Relative speed of the task by model pattern, in any unit; empty: proportional to normalised compute."""
    domains: tuple[str, ...] = ()
    """Names of the domains (engines) whose nodes alone may take it; empty: all."""

    def __post_init__(self) -> None:
        if min(self.count, self.cpu_milli, self.memory_mib) < 0 or (self.share and self.count):
            raise InvalidInput(
                text("A task asks for whole devices or for part of one, and never for less than 0")
            )

    @property
    def wants_device(self) -> bool:
        """Whether it needs an accelerator at all."""
        return self.count > 0 or self.share is not None


def most_requested(counts: Iterable[tuple[Request, int]]) -> tuple[tuple[Request, int], ...]:
    """Return requests with their counts, the most frequent first; equal counts in the order of their text."""

    def rank(counted: tuple[Request, int]) -> tuple[int, str]:
        request, count = counted
        return -count, repr(request)

    return tuple(sorted(counts, key=rank))


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One accelerator. `index` is the engine's own number for it."""

    index: int
    model: str
    memory_mib: int
    healthy: bool = True
    link_group: int = 0


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One machine: totals that jobs may use; what is in use follows from the running attempts."""

    name: str
    cpu_milli: int
    memory_mib: int
    devices: tuple[DeviceRow, ...] = ()
    schedulable: bool = True
    rack: str = ""
    pod: str = ""
    domain: str = ""
    """Part of the center that no gang may span, such as the machines of one engine."""


def node_row(report: NodeReport, *, schedulable: bool = True, domain: str = "") -> NodeRow:
    """Return the row of a probed node; an unhealthy node is not schedulable."""
    devices = tuple(
        DeviceRow(d.index, d.model, math.floor(d.memory_gib * MIB_PER_GIB), d.healthy, d.link_group)
        for d in report.devices
    )
    return NodeRow(
        name=report.name,
        cpu_milli=math.floor(report.cpus * 1000),
        memory_mib=math.floor(report.memory_gib * MIB_PER_GIB),
        devices=devices,
        schedulable=schedulable and report.healthy,
        rack=report.rack,
        pod=report.pod,
        domain=domain,
    )


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A waiting job, or one element of an array, whose dependencies are met."""

    id: str
    org: str
    project: str
    request: Request
    tasks: int = 1
    """Members of the gang: all start together or none."""
    priority: int = 0
    """Larger runs first."""
    submitted_us: int = 0
    time_limit_s: float | None = None
    """Enforced: the only bound that backfill trusts."""
    predicted_s: float | None = None
    preemptible: bool = False
    not_before_us: int = 0
    deadline_us: int = 0
    """Deadline set by its owner, in µs; 0: none. It orders only jobs of the same project."""
    array: str = ""
    """Id of the array it belongs to; equal elements are planned in one sweep."""
    element: int = 0
    array_limit: int | None = None
    """Largest number of elements of the array that may run at once."""
    user: str = ""
    queue: str = ""
    served_device_us: int = 0
    """Device time of earlier attempts."""
    predicted_low_s: float | None = None
    predicted_high_s: float | None = None
    """Band around `predicted_s`: one in ten is over before, one in ten after."""
    min_tasks: int = 0
    max_tasks: int = 0
    """The gang can run with any number of members between them; 0: only with `tasks`."""
    resumes_tasks: int = 0
    """Largest number of tasks with which a stopped job resumes, before all others; 0: it was not resized."""


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A device (the engine's index) of the task's node; None means all of it."""

    index: int
    memory_mib: int | None = None
    compute_bp: int | None = None


@dataclass(frozen=True, slots=True)
class TaskUse:
    """Resources that one task holds on its node."""

    node: str
    cpu_milli: int
    memory_mib: int
    devices: tuple[DeviceUse, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that holds resources: placed, starting, running or ending."""

    id: str
    """Unique: the attempt's (or element's) id."""
    job_id: str
    org: str
    project: str
    tasks: tuple[TaskUse, ...]
    priority: int = 0
    started_us: int = 0
    expected_end_us: int | None = None
    """Start + time limit, or a prediction; None when nothing is known."""
    preemptible: bool = False
    ending: bool = False
    """Whether it was told to stop and will release its resources soon."""
    array: str = ""
    model: str = ""
    """Model of its devices; empty without any, or when unknown."""
    submitted_us: int = 0
    """Submit time of its job, in µs."""
    request: Request | None = None
    """Request of one task, with which the job can be planned again; None: unknown."""
    user: str = ""
    queue: str = ""
    served_device_us: int = 0
    """Device time of the job's earlier attempts."""
    deadline_us: int = 0
    predicted_s: float | None = None
    predicted_low_s: float | None = None
    predicted_high_s: float | None = None
    """Run time of this attempt, told or learnt: a guess, where `expected_end_us` is enforced."""
    min_tasks: int = 0
    max_tasks: int = 0
    asked_tasks: int = 0
    """Number of tasks that its job asked for; 0: not known."""
    resumes_tasks: int = 0
    """Number of tasks with which it will resume after the stop under way; 0: it is not being resized."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of an organisation (project "") or of one project, on one resource.

    `resource` is `pflops` (normalised), `cards`, `cpus`, or `cards:<pattern>` for models that match. Guaranteed is what
    can always be had; use beyond it borrows what others leave idle, up to `maximum` (None: no limit).
    """

    org: str
    resource: str
    project: str = ""
    guaranteed: float | None = None
    maximum: float | None = None
    borrow: bool = True


@dataclass(frozen=True, slots=True)
class Reservation:
    """A node, or one device of it, held in a window: for an account, or (no organisation) for maintenance."""

    id: str
    start_us: int
    end_us: int
    node: str
    device: int | None = None
    """The engine's index; None: the whole node."""
    org: str = ""
    project: str = ""
    """Empty: any project of the organisation."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Use decayed with the half-life: normalised PFLOPS hours, CPU core hours, memory GiB hours."""

    pflops_h: float = 0.0
    cpu_h: float = 0.0
    memory_gib_h: float = 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """Service of an ended job: total device time, devices, submit time and user."""

    device_us: int
    devices: int = 1
    submitted_us: int = 0
    user: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Fair share of one project: its decayed use and its weight inside the organisation."""

    org: str
    project: str
    usage: Usage = field(default_factory=Usage)
    weight: float = 1.0
    org_weight: float = 1.0


def tokens(name: str) -> frozenset[str]:
    """Return words of a model name or pattern: `H100-SXM 80G` → {h100, sxm, 80g}."""
    return frozenset(_TOKEN.findall(name.lower()))


def match_models(patterns: Iterable[str], models: Iterable[str]) -> tuple[str, ...]:
    """Return the models that any pattern allows: every word of the pattern is a word of the model; `any` allows all.

    Part of a device (a MIG instance) is given only to a request that says `mig`.
    """
    wanted, models = [tokens(pattern) for pattern in patterns], tuple(models)
    if not wanted or frozenset({"any"}) in wanted:
        return tuple(model for model in models if MIG not in tokens(model))
    return tuple(
        model
        for model in models
        if any(
            words and words <= tokens(model) and (MIG in words) == (MIG in tokens(model)) for words in wanted
        )
    )


PflopsOf = Callable[[str], float]
"""Normalised PFLOPS of one card of a model."""

__all__ = [
    "BUILDS",
    "FULL_BP",
    "NO_DOMAIN",
    "Account",
    "DeviceRow",
    "DeviceUse",
    "NodeRow",
    "PflopsOf",
    "Quota",
    "Request",
    "Reservation",
    "RunningAttempt",
    "Service",
    "ShareRequest",
    "TaskUse",
    "Usage",
    "WaitingJob",
    "match_models",
    "node_row",
    "tokens",
]
