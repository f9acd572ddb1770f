"""What a job asks for, as plain frozen values. `parse_yaml` and `parse_json` make them; nothing else should."""

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
    """Where it goes, relative to the work folder: a file under this name, or with `/` at the end under its own name in
    this folder. An archive is unpacked there."""
    kind: Literal["file", "archive"] = "file"


@dataclass(frozen=True, slots=True)
class GitSource:
    """A folder of a git repository that becomes the work folder."""

    url: str
    ref: str = "HEAD"
    path: str = "."


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed around the command: Python and packages, or a container image; never both."""

    python: str | None = None
    """`3.11`; None: the center's own version."""
    packages: tuple[str, ...] = ()
    requirements: str = ""
    wheels_only: bool = True
    image: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceFraction:
    """A part of one accelerator; 0: follows the other part pro rata."""

    memory_gib: float = 0.0
    compute_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class PerTask:
    """What each task gets. `count` whole accelerators, or a `fraction` of one, or neither."""

    accelerator: tuple[str, ...] = ()
    """Any of these models will do; `("any",)`: whichever. Empty: none is asked for."""
    count: int = 0
    fraction: DeviceFraction | None = None
    cpus: float = 1.0
    memory_gib: float = 2.0


@dataclass(frozen=True, slots=True)
class InputItem:
    """Data handed to the job at $PEARL_INPUT_<NAME>, and at `mount` where the sandbox can provide it."""

    upload: str | None = None
    source: str | None = None
    mount: str | None = None
    kind: Literal["file", "archive"] = "file"


@dataclass(frozen=True, slots=True)
class Retries:
    """When the job is run again. `max` counts failures of the command only."""

    max: int = 0
    on: tuple[str, ...] = ("failure", "engine_lost", "preemption")
    """`engine_lost` or `preemption` left out: the job fails instead of going back to the queue."""


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
    """How far the number of tasks may be changed from one attempt to the next."""

    min_tasks: int = 1
    max_tasks: int = 1


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another job that must have ended first."""

    job: str
    condition: Literal["succeeded", "ended"] = "succeeded"


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one attempt may use beyond its `per_task` resources."""

    disk_gib: float = 50.0
    log_mib: float = 64.0
    pids: int = 4096
    grace_s: float = 30.0
    """Between the request to end (SIGTERM) and the end (SIGKILL)."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job, or an array of them, as its submitter wrote it with defaults filled in."""

    command: tuple[str, ...]
    name: str = "job"
    project: str | None = None
    """Slug; None: the submitter's default project."""
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
    outputs: tuple[str, ...] = ()
    """Patterns under $PEARL_OUTPUTS that are kept; empty: everything."""
    outputs_kept_days: int | None = None
    """Days for which outputs are kept, 0: for ever; None: as its project keeps them."""
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Environment variable → name of a stored secret."""
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    retries: Retries = Retries()
    priority: int = 0
    preemptible: bool = False
    array: Array | None = None
    depends_on: tuple[Dependency, ...] = ()
    network: Literal["none", "internet"] = "none"
    limits: JobLimits = JobLimits()
    not_before_us: int | None = None
    deadline_us: int | None = None
    simulate_s: float | None = None
    """How long a simulated engine pretends to run."""
