"""The contract of every engine: start, probe, stop and scan attempts on the machines that it owns.

Engines do not import the store, the ledger or the queues. Every call carries the center's attempt id, so an engine
recognises a repeated call: `start` of a known attempt returns Done, and so does `stop` of an unknown one. An engine that
cannot tell whether a call took effect returns Unknown, and the caller probes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from pearlstreet.base.outcome import Outcome
from pearlstreet.base.text import Text
from pearlstreet.compute.engines.services import Endpoint as Endpoint
from pearlstreet.compute.engines.services import ServiceOrder as ServiceOrder
from pearlstreet.compute.engines.shells import Shell, ShellOrder
from pearlstreet.compute.engines.staging.model import RestoredEntry, StagerReport, StagerTask
from pearlstreet.compute.hardware.isolation import Isolation as Isolation
from pearlstreet.compute.hardware.model import DeviceReport as DeviceReport
from pearlstreet.compute.hardware.model import NodeReport as NodeReport
from pearlstreet.compute.hardware.sharing import Sharing
from pearlstreet.objects.model import BlobReference


class TaskState(StrEnum):
    """State of one task of an attempt, as its engine reports it."""

    PENDING = "pending"
    """The engine has accepted it and has no machine for it yet. Only engines that choose machines or devices report it."""
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"


class EndReason(StrEnum):
    """Reason why an attempt ended."""

    EXITED = "exited"
    """Every task ended by itself, or one ended with a non-zero code and the engine ended the others."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    DISK_LIMIT = "disk_limit"
    STOPPED = "stopped"
    """The center called `stop`."""
    START_FAILED = "start_failed"
    """The command could not be executed at all."""
    ENGINE_LOST = "engine_lost"
    """The machine, the supervisor or a device failed; the user did not cause it."""


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """A device, or a share of one, given to a task."""

    index: int
    memory_gib: float | None = None
    """Memory share in GiB; None: the whole device."""
    compute_percent: float | None = None


PlacementMode = Literal["device", "node", "engine"]
"""What the center chooses for an attempt: its nodes and devices, its nodes only, or neither."""


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """Devices of a task that the engine chooses, all of one model; a share of each if `memory_gib` or `compute_percent` is given."""

    model: str
    count: int
    memory_gib: float | None = None
    compute_percent: float | None = None


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """One task of the gang: where it runs, as far as the center chooses that, and the resources that it gets there."""

    rank: int
    node: str
    """Name of its node; empty, for every task of the order: the engine chooses the nodes."""
    cpus: float
    memory_gib: float
    devices: tuple[DeviceGrant, ...] = ()
    wants: DeviceRequest | None = None
    """Devices that the engine chooses; then `devices` is empty."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A file, archive or folder that the engine copies into the work folder before the command starts."""

    source: str | BlobReference
    """Absolute path on the file system of the server's machine or on a shared one, or a stored file, verified when it is read."""
    target: str
    """Path relative to the work folder; the engine refuses one that leads out of it."""
    kind: Literal["file", "archive", "folder"] = "file"
    """Kind of source; an `archive` is a tar file, unpacked at `target`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host that appears inside the sandbox at the absolute path `target`."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """A path in the work folder that also appears, read-only, at an absolute path, if the sandbox supports it."""

    path: str
    """Path relative to the work folder; a `Stage` puts the file or folder there."""
    target: str


@dataclass(frozen=True, slots=True)
class CheckpointEntry:
    """A file or folder in place in the checkpoint folder of an owner of attempts."""

    name: str
    size_bytes: int
    """Size; of a folder with very many files, that of the first ones."""
    saved_us: int
    """Time at which it came in place or last changed, in µs since 1970."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one attempt; the engine ends an attempt that exceeds one. `TaskOrder` limits CPU and memory per task."""

    time_s: float | None = None
    pids: int = 4096
    disk_gib: float = 50.0
    log_bytes: int = 64 << 20
    """Log bytes kept per task; the engine drops the middle of a longer log and counts the dropped bytes."""
    grace_s: float = 30.0
    """Time between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """Everything that an engine needs to run one attempt. Serialisable. It holds secrets: engines store it with mode 600."""

    attempt_id: str
    job_id: str
    tenant_id: str
    command: tuple[str, ...]
    tasks: tuple[TaskOrder, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    path_variables: Mapping[str, str] = field(default_factory=dict)
    """Variable → path relative to the work folder; tasks get the absolute path that is valid inside the sandbox."""
    secret_names: frozenset[str] = frozenset()
    """Names of the `variables` whose values must not appear in logs or reports."""
    stages: tuple[Stage, ...] = ()
    mounts: tuple[Mount, ...] = ()
    bindings: tuple[Binding, ...] = ()
    image: str | None = None
    """Container image, by its name in full; only engines with the capability `images` accept one."""
    image_folder: str = ""
    """Absolute path of the image's unpacked file system, for engines that do not fetch images themselves; they show it read-only."""
    network: Literal["none", "internet"] = "none"
    """Network access; with `none` the attempt's tasks reach each other over loopback and nothing else."""
    limits: Limits = Limits()
    checkpoint: str = ""
    """Key of the checkpoint folder ($PEARL_CHECKPOINT), which all attempts with this key find as the last one left it; empty: none.

    An entry counts once it is in place under its final name; names that end in `.tmp` or `.partial` are being written, and are
    deleted before the next attempt starts. At most one attempt with a key runs at a time; the ranks of a gang share the folder.
    """
    restore: tuple[RestoredEntry, ...] | None = None
    """Content of the checkpoint folder, which an attempt on another engine left; None: this engine's is the newest."""
    purpose: Literal["job", "environment", "source", "image"] = "job"
    service: ServiceOrder | None = None
    """Ports, probes and restarts of an attempt that runs until it is stopped; None: it is no service."""
    minimum_isolation: Isolation = "none"
    """Weakest isolation accepted; nodes with a weaker one refuse the order with the code `isolation`."""
    simulate_s: float | None = None
    """Run time that a simulated engine pretends, in seconds; other engines ignore it."""
    simulate_saves: bool = False
    """Whether a simulated engine pretends that the attempt saves its work when it is told to stop; other engines ignore it."""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """Report of one task of an attempt by its engine."""

    rank: int
    state: TaskState
    exit_code: int | None = None
    """Exit code as a shell gives it: 128 + N for a task that signal N ended."""
    signal: int | None = None
    started_us: int | None = None
    ended_us: int | None = None
    cpu_s: float = 0.0
    memory_peak_gib: float = 0.0
    node: str = ""
    """Node where it runs or ran; empty while the engine has not chosen one."""
    devices: tuple[int, ...] = ()
    """Indices of its devices on that node."""
    restarts: int = 0
    """Number of restarts, of a task of a service. A restart leaves the task running."""
    is_ready: bool = False
    """Whether it takes requests, of a running task of a service."""
    endpoints: tuple[Endpoint, ...] = ()
    """Addresses of the ports of a running task of a service."""


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """Report of one attempt by its engine."""

    attempt_id: str
    state: TaskState
    """State of the attempt: PENDING while it has no machines, RUNNING once every task runs, EXITED once every task has ended."""
    tasks: tuple[TaskReport, ...]
    started_us: int | None = None
    ended_us: int | None = None
    end_reason: EndReason | None = None
    exit_code: int | None = None
    """Exit code of the first task that failed; 0 if none failed; None if a task never ran."""
    message: Text | None = None
    wall: str = ""
    """Isolation from other tenants, such as `bubblewrap+cgroup-v1+seccomp` or `rlimits`."""
    saved_us: int | None = None
    """Time at which something last came in place in the checkpoint folder, in µs since 1970, of an ended attempt; None: nothing."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What happened to an engine's attempts since an earlier observation."""

    cursor: str
    """Position from which the next observation continues."""
    reports: Sequence[AttemptReport]
    """Reports of the attempts that appeared or changed: in state, place, readiness, restarts, start or end.

    The growing use of a running attempt is no change. Reports may be repeated.
    """
    gone: Sequence[str] = ()
    """Ids of attempts that the engine no longer remembers."""
    is_complete: bool = False
    """Whether `reports` are those of all attempts that the engine remembers, because the cursor was empty or lost."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Bytes of one task's log: stdout and stderr in the order they were written."""

    data: bytes
    next_offset: int
    """Offset of the next read. Offsets count every byte that the task wrote, including dropped ones."""
    dropped_bytes: int = 0
    """Number of bytes between the requested offset and `data` that the size limit dropped."""
    ended: bool = False
    """Whether the log is complete: no byte will follow `next_offset`."""


@dataclass(frozen=True, slots=True)
class MetricSample:
    """Resource use of one task at one moment (`kind="use"`), or values that the job wrote to $PEARL_METRICS (`"user"`)."""

    at_us: int
    rank: int
    kind: Literal["use", "user"]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that the attempt left in its outputs folder ($PEARL_OUTPUTS)."""

    path: str
    size_bytes: int
    """Apparent size, which for a sparse file is larger than its space on disk."""
    problem: Text | None = None
    """Reason why the file can never be read by its path; None: it can be read."""
    stands_for_more: bool = False
    """Whether this entry represents all files beyond the bound of the listing."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of an engine; the planner and the API refuse jobs beyond them early, with the reason."""

    runs_code: bool = True
    """Whether commands really run. False for a simulation: no environment is built and outputs are empty."""
    builds: bool = True
    """Whether environments can be built on it: its machines write into the folders of the center's host."""
    folders: str = "/"
    """Folder of the center's host that its machines see under the same path; empty: none."""
    pace: float = 1.0
    """Speed-up of the work against the clock; other than 1 only in simulations."""
    images: bool = False
    """Whether attempts can have a container image as their root, and whether its node can fetch one."""
    fractions: bool = False
    """Whether shares of a device are enforced and not merely counted."""
    sharing: Sharing = "time_slice"
    """How tasks with shares of one device are kept apart: `mps`, or `time_slice` where shares are only counted."""
    multi_node: bool = False
    stager: bool = False
    """Whether a stager runs on its machines, so that outputs and checkpoints need not be read through the center."""
    placements: tuple[PlacementMode, ...] = ("device",)
    """Placement modes of the orders that it accepts."""
    placement: PlacementMode = "device"
    """Placement mode that the settings choose for it: how the center orders."""
    submit_window: int | None = None
    """Maximum number of attempts that may wait there for machines at a time; None: no limit. For an engine with a queue of its own."""
    shells: bool = False
    """Whether people can run commands inside a running task."""
    services: bool = False
    """Whether it runs services: with readiness, restarts and drain, also while the server is down."""
    wall: str = ""
    """Strongest isolation that the engine can give on this host."""
    notices: tuple[Text, ...] = ()
    """Warnings that the operator must see, such as that jobs run without a sandbox."""


class Engine(Protocol):
    """An engine that owns machines. Any thread may call any method; each returns within seconds."""

    @property
    def name(self) -> str:
        """Name in configuration and in every report: `local`, `simulated`."""
        ...

    def capabilities(self) -> Capabilities:
        """Return the engine's capabilities on this host; they stay constant while it runs."""
        ...

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        """Return a fresh report of every machine that the engine owns (cached for about a second)."""
        ...

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        """Tell the engine's own scheduler that a node is drained for `reason`, or is used again (None). Idempotent.

        The center places nothing on a drained node in any case; this keeps others off it, such as direct users of a cluster.
        A drain that somebody else set is left alone. Refused where the engine cannot tell its scheduler.
        """
        ...

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        """Start all tasks of an attempt or none. Idempotent by attempt id.

        Done means that the order is on disk. Its report may already be EXITED, with `STOPPED` if a stop came first.
        """
        ...

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        """Return the report of an attempt; Done(None) if this engine has certainly never started it."""
        ...

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        """Return the reports of all attempts that the engine remembers, the same as probing each."""
        ...

    def observe(self, cursor: str) -> Outcome[Observation]:
        """Return what changed since the observation that gave `cursor`; empty, or a cursor that is lost: everything.

        Its cost depends on what changed, not on how many attempts run, so that one call a cycle watches thousands.
        """
        ...

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        """Send SIGTERM to the tasks and SIGKILL after `grace_s`. Returns at once; Done for unknown or ended attempts.

        An attempt that was stopped before its start must never start afterwards.
        """
        ...

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        """End a service without cutting requests: not ready from now on, stopped once its connections are closed or `grace_s` is over.

        Returns at once. An attempt that is no service, or has not started, is stopped as by `stop`; Done for ended ones.
        """
        ...

    def open_shell(self, attempt_id: str, rank: int, shell_id: str, order: ShellOrder) -> Outcome[Shell]:
        """Run a command inside a running task: in its sandbox, under its user and within its limits.

        It does not keep the attempt running, and ends when the attempt is stopped. Refused for a task that does not run, and by
        engines without the capability `shells`. Not repeated: an answer that was lost leaves no command behind.
        """
        ...

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        """Return at most `limit` bytes of a task's log, from `offset` on."""
        ...

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        """Return the samples after `since_us`, oldest first."""
        ...

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        """Return the regular files under the outputs folder, without links and special files.

        The listing is bounded in time and memory: one last entry with a `problem` represents all files beyond the bound.
        """
        ...

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        """Return at most `limit` bytes of one output file from `offset` on; links are not followed."""
        ...

    def start_stager(self, task: StagerTask) -> Outcome[None]:
        """Start a task of the stager on the machine with the files, outside every sandbox. Refused without the capability `stager`.

        Idempotent by subject and task id; a task whose result says `again` starts anew. Files of an attempt are read only after
        its end, those of a checkpoint folder at any time.
        """
        ...

    def stager_report(self, task: StagerTask) -> Outcome[StagerReport]:
        """Return what became of a task; absent if it never started or its process died before its end."""
        ...

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        """Delete the files of an ended attempt but keep its report, logs and metrics. Its outputs are empty afterwards.

        Repeating the call is cheap. Done for unknown attempts; Retry while the attempt runs.
        """
        ...

    def checkpoint_sizes(self) -> Outcome[Mapping[str, int]]:
        """Return the size in bytes of each checkpoint folder that the engine keeps, by key; some minutes old."""
        ...

    def list_checkpoint(self, key: str) -> Outcome[Sequence[CheckpointEntry]]:
        """Return what is in place in a checkpoint folder, newest first; empty if there is none."""
        ...

    def delete_checkpoint(self, key: str) -> Outcome[None]:
        """Delete a checkpoint folder; Done if there is none. No attempt with this key may run."""
        ...

    def log_sizes(self) -> Outcome[Mapping[str, int]]:
        """Attempt id → bytes that its logs take on disk, of attempts that run and that have ended."""
        ...

    def trim_log(self, attempt_id: str, *, size_bytes: int) -> Outcome[int]:
        """Delete the oldest parts of an attempt's logs, `size_bytes` or a little more; how many bytes that freed.

        Reading counts them as dropped. The part that is being written stays. Done(0) for unknown attempts.
        """
        ...

    def forget(self, attempt_id: str) -> Outcome[None]:
        """Delete all records of an ended attempt: report, work folder, logs. Retry while the attempt runs."""
        ...

    def close(self) -> None:
        """Release threads and handles; attempts continue to run."""
        ...
