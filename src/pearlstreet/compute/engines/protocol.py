"""What every engine promises: start, probe, stop and scan attempts on machines it owns.

Engines know nothing of the store, tenants' money or queues. Every call carries our attempt id, so that a repeat is
recognised: `start` of a known attempt is Done, `stop` of an unknown one is Done. An engine that cannot tell whether a
call took effect answers Unknown and the caller probes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from pearlstreet.base.outcome import Outcome
from pearlstreet.base.text import Text
from pearlstreet.compute.hardware.isolation import Isolation as Isolation
from pearlstreet.compute.hardware.model import DeviceReport as DeviceReport
from pearlstreet.compute.hardware.model import NodeReport as NodeReport


class TaskState(StrEnum):
    """Where one task of an attempt is, as its engine sees it."""

    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"


class EndReason(StrEnum):
    """Why an attempt is over."""

    EXITED = "exited"
    """Every task ended by itself, or one ended non-zero and the rest were ended with it."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    DISK_LIMIT = "disk_limit"
    STOPPED = "stopped"
    """Somebody called `stop`."""
    START_FAILED = "start_failed"
    """The command could not be executed at all."""
    ENGINE_LOST = "engine_lost"
    """The machine, its supervisor or the device failed: not the user's doing."""


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """A device, or a share of one, given to a task."""

    index: int
    memory_gib: float | None = None
    """None: the whole device."""
    compute_percent: float | None = None


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """One member of the gang: which node, and how much of it."""

    rank: int
    node: str
    cpus: float
    memory_gib: float
    devices: tuple[DeviceGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Something put into the work folder before the command starts."""

    source: str
    """Absolute path on the control machine's (or the shared) file system."""
    target: str
    """Relative path under the work folder; already checked to stay inside it."""
    kind: Literal["file", "archive", "folder"] = "file"
    """`archive`: a tar file, unpacked at `target`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host shown inside the sandbox at the same or another absolute path."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """Something beneath the work folder shown at an absolute path too, read-only, where the walls can."""

    path: str
    """Relative to the work folder; put there by a `Stage`."""
    target: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What an attempt may use before it is ended; CPU and memory limits are per task (`TaskOrder`)."""

    time_s: float | None = None
    pids: int = 4096
    disk_gib: float = 50.0
    log_bytes: int = 64 << 20
    """Kept per task; beyond it the middle is dropped and the log says how much."""
    grace_s: float = 30.0
    """Between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """Everything an engine needs to run one attempt. Serialisable; holds secrets: engines keep it mode 600."""

    attempt_id: str
    job_id: str
    tenant_id: str
    command: tuple[str, ...]
    tasks: tuple[TaskOrder, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    path_variables: Mapping[str, str] = field(default_factory=dict)
    """Variable → path relative to the work folder; tasks get it absolute, as they see it."""
    secret_names: frozenset[str] = frozenset()
    """Names in `variables` whose values never reach logs or reports."""
    stages: tuple[Stage, ...] = ()
    mounts: tuple[Mount, ...] = ()
    bindings: tuple[Binding, ...] = ()
    image: str | None = None
    """Container image, for engines that take one."""
    network: Literal["none", "internet"] = "none"
    """`none`: loopback among the tasks of the attempt only."""
    limits: Limits = Limits()
    purpose: Literal["job", "environment", "source"] = "job"
    minimum_isolation: Isolation = "none"
    """Refused on nodes that isolate jobs less, with the code `isolation`."""
    simulate_s: float | None = None
    """How long a simulated engine pretends to run; others ignore it."""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """One task of an attempt as its engine sees it."""

    rank: int
    state: TaskState
    exit_code: int | None = None
    """As a shell gives it: 128 + N for a task that signal N ended."""
    signal: int | None = None
    started_us: int | None = None
    ended_us: int | None = None
    cpu_s: float = 0.0
    memory_peak_gib: float = 0.0


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One attempt as its engine sees it."""

    attempt_id: str
    state: TaskState
    """RUNNING once every task runs; EXITED once every task has ended."""
    tasks: tuple[TaskReport, ...]
    started_us: int | None = None
    ended_us: int | None = None
    end_reason: EndReason | None = None
    exit_code: int | None = None
    """Of the first task that failed, else 0."""
    message: Text | None = None
    wall: str = ""
    """What separates it from other tenants, e.g. `bubblewrap+cgroup-v1+seccomp` or `rlimits`."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Bytes of one task's log (stdout and stderr as they came)."""

    data: bytes
    next_offset: int
    """Where to read on. Offsets count every byte the task wrote, also dropped ones."""
    dropped_bytes: int = 0
    """Bytes before `data` that the size limit dropped since the asked offset."""
    ended: bool = False
    """Nothing will follow `next_offset`."""


@dataclass(frozen=True, slots=True)
class MetricSample:
    """Use of one task at one moment (`kind="use"`), or what the job itself wrote to $PEARL_METRICS (`"user"`)."""

    at_us: int
    rank: int
    kind: Literal["use", "user"]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file the attempt left in its outputs folder ($PEARL_OUTPUTS)."""

    path: str
    size_bytes: int
    """Apparent size: a sparse file is as large as it reads."""
    problem: Text | None = None
    """Why it can never be read by its path; None: it can be read."""
    stands_for_more: bool = False
    """It stands for everything beyond the bound of the listing."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, so that the planner and the door refuse early and say why."""

    runs_code: bool = True
    """False: a simulation; environments need not be built and outputs are empty."""
    pace: float = 1.0
    """How many times faster than the clock its work goes by: other than 1 only in simulations."""
    images: bool = False
    fractions: bool = False
    """Shares of a device are enforced (not merely counted)."""
    multi_node: bool = False
    wall: str = ""
    """The strongest separation it can give on this host."""
    notices: tuple[Text, ...] = ()
    """What the operator must know, loudly, e.g. that jobs run without a sandbox."""


class Engine(Protocol):
    """An engine owns machines. Every method may be called from any thread and returns within seconds."""

    @property
    def name(self) -> str:
        """Name in configuration and in every report: `local`, `simulated`."""
        ...

    def capabilities(self) -> Capabilities:
        """What it can do on this host; constant while it runs."""
        ...

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        """Every machine it owns, as probed just now (cheap: cached for a second or so)."""
        ...

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        """Start all tasks of an attempt or none. Idempotent by attempt id. Must be on disk before it answers Done.

        Done says what is known now: perhaps already EXITED, with `STOPPED` when a stop came first.
        """
        ...

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        """What became of an attempt; Done(None) when this engine has certainly never started it."""
        ...

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        """Every attempt it remembers; equals the sum of probes."""
        ...

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        """Ask the tasks to end, kill them after `grace_s`. Returns at once. Done for unknown or ended attempts.

        A stopped attempt that was never started must never start afterwards.
        """
        ...

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        """Bytes of a task's log from `offset` on, at most `limit`."""
        ...

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        """Samples after `since_us`, oldest first."""
        ...

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        """Regular files under the outputs folder; links and special files are left out.

        Bounded in time and memory: what lies beyond a bound is one entry with a `problem`, never left out silently.
        """
        ...

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        """Bytes of one output file, opened without following links."""
        ...

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        """Delete the files of an ended attempt and keep its report, logs and metrics. Its outputs are empty afterwards.

        Cheap to repeat. Done for unknown attempts; Retry while it still runs.
        """
        ...

    def forget(self, attempt_id: str) -> Outcome[None]:
        """Delete what it keeps of an ended attempt (work folder, logs). Retry while it still runs."""
        ...

    def close(self) -> None:
        """Let go of threads and handles; attempts go on running."""
        ...
