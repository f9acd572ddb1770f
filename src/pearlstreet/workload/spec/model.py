"""Values of a job specification, frozen. Only `parse_yaml` and `parse_json` should create them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DAY_S = 86_400.0
DEFAULT_TIME_LIMIT_S = DAY_S


@dataclass(frozen=True, slots=True)
class FileItem:
    """A file or archive put into the work folder. Exactly one of `upload` and `source` is set."""

    upload: str | None = None
    """Id of an uploaded file (`upl_…`)."""
    source: str | None = None
    """A path on the submitter's machine, not yet uploaded; the server refuses it."""
    path: str = "./"
    """Target relative to the work folder: the file's new name or, with `/` at the end, the folder for it.

    An archive is unpacked there.
    """
    kind: Literal["file", "archive"] = "file"


@dataclass(frozen=True, slots=True)
class GitSource:
    """A folder of a git repository that becomes the work folder."""

    url: str
    ref: str = "HEAD"
    path: str = "."


@dataclass(frozen=True, slots=True)
class Environment:
    """Software for the command: Python with packages, or a container image, but not both."""

    python: str | None = None
    """Python version such as `3.11`; None: the center's own version."""
    packages: tuple[str, ...] = ()
    requirements: str = ""
    wheels_only: bool = True
    image: str | None = None
    pull_secret: str | None = None
    """Name of a secret that holds `user:password` of the image's registry."""


@dataclass(frozen=True, slots=True)
class DeviceFraction:
    """A part of one accelerator; 0: in proportion to the other value."""

    memory_gib: float = 0.0
    compute_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class PerTask:
    """Resources of each task: `count` whole accelerators, a `fraction` of one, or neither, plus CPU and memory."""

    accelerator: tuple[str, ...] = ()
    """Accepted accelerator models; `("any",)`: all models. Empty: no accelerator is requested."""
    count: int = 0
    fraction: DeviceFraction | None = None
    cpus: float = 1.0
    memory_gib: float = 2.0


@dataclass(frozen=True, slots=True)
class InputItem:
    """Input data, whose path the job finds in $PEARL_INPUT_<NAME>, also mounted at `mount` if the sandbox supports it."""

    upload: str | None = None
    source: str | None = None
    dataset: str | None = None
    """Data set of the hub, `organisation/name@revision`."""
    model: str | None = None
    """Model of the hub, `organisation/name@revision`."""
    mount: str | None = None
    kind: Literal["file", "archive"] = "file"


@dataclass(frozen=True, slots=True)
class OutputItem:
    """Pattern of files under $PEARL_OUTPUTS that are stored, and the repository whose next revision they become."""

    path: str
    model: str | None = None
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """Conditions for running the job again. `max` limits retries after failures of the command only."""

    max: int = 0
    on: tuple[str, ...] = ("failure", "engine_lost", "preemption")
    """Ends after which the job runs again; without `engine_lost` or `preemption` it fails then instead of being requeued."""


@dataclass(frozen=True, slots=True)
class Array:
    """Many jobs from one specification: `size` elements, or one for each of `values`."""

    size: int = 0
    values: tuple[str, ...] = ()
    max_running: int | None = None

    @property
    def count(self) -> int:
        """Number of elements."""
        return len(self.values) or self.size


@dataclass(frozen=True, slots=True)
class Elastic:
    """Range of the number of tasks of an elastic job."""

    min_tasks: int = 1
    max_tasks: int = 1


@dataclass(frozen=True, slots=True)
class ServiceProbe:
    """A check of a service that is repeated while a task runs."""

    port: str | None = None
    """Name of the port that it connects to; None for a command."""
    path: str | None = None
    """Path of a GET request; None: a connection is enough."""
    command: tuple[str, ...] = ()
    """Command that it runs inside the task instead."""
    period_s: float = 10.0
    timeout_s: float = 2.0
    successes: int = 1
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Restarts:
    """When a task of a service that ended is started again, in the same attempt."""

    on: Literal["never", "failure", "always"] = "failure"
    max: int = 5


@dataclass(frozen=True, slots=True)
class Service:
    """What makes a job a service, which runs until it is cancelled."""

    ports: dict[str, int] = field(default_factory=dict)
    """Port on which each task listens, by name."""
    readiness: ServiceProbe | None = None
    liveness: ServiceProbe | None = None
    startup_grace_s: float = 60.0
    restarts: Restarts = Restarts()
    drain_s: float = 30.0
    """Time for which a stop waits for open connections."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another job that must end before this one starts."""

    job: str
    condition: Literal["succeeded", "ended"] = "succeeded"


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of one attempt beyond its `per_task` resources."""

    disk_gib: float = 50.0
    log_mib: float = 64.0
    pids: int = 4096
    grace_s: float = 30.0
    """Time in seconds between the request to end (SIGTERM) and the forced end (SIGKILL)."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Specification of a job or an array as its submitter wrote it, with defaults filled in."""

    command: tuple[str, ...]
    name: str = "job"
    project: str | None = None
    """Slug of the project; None: the submitter's default project."""
    queue: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    notes: str = ""
    files: tuple[FileItem, ...] = ()
    git: GitSource | None = None
    environment: Environment | None = None
    tasks: int = 1
    elastic: Elastic | None = None
    per_task: PerTask = PerTask()
    inputs: dict[str, InputItem] = field(default_factory=dict)
    outputs: tuple[OutputItem, ...] = ()
    """Files under $PEARL_OUTPUTS that are stored; empty: all files."""
    outputs_kept_days: int | None = None
    """Days for which outputs are kept; 0: for ever; None: as long as the project keeps outputs."""
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Name of a stored secret by environment variable."""
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    retries: Retries = Retries()
    priority: int = 0
    preemptible: bool = False
    service: Service | None = None
    """None: the job is no service."""
    array: Array | None = None
    depends_on: tuple[Dependency, ...] = ()
    network: Literal["none", "internet"] = "none"
    limits: JobLimits = JobLimits()
    not_before_us: int | None = None
    deadline_us: int | None = None
    simulate_s: float | None = None
    """Run time on a simulated engine in seconds; real engines ignore it."""
