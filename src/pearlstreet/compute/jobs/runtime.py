"""What the jobs room needs beside the store: engines, folders, settings, and the board of the planner's last answers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.hardware.isolation import Isolation
from pearlstreet.compute.jobs.decisions.log import DecisionLog, DecisionSettings
from pearlstreet.compute.jobs.planning_window import PlanningWindow
from pearlstreet.compute.jobs.policy.model import Policy
from pearlstreet.compute.jobs.policy.rows import PolicyReader
from pearlstreet.compute.jobs.queue_limits import QueueCounts
from pearlstreet.compute.jobs.spec_volume import SpecVolume
from pearlstreet.compute.jobs.storage.upload_reservations import UploadReservations
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Wait
from pearlstreet.compute.scheduling.rows import Request


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """What an operator may turn. Times in seconds."""

    policy: Policy = field(default_factory=Policy)
    """The scheduling policy until somebody sets another one."""
    hold_window_s: float = 24 * 3600
    """A hold covers the time limit, but at most this long; a loop extends it."""
    stop_notice_s: float = 300
    """An attempt whose hold cannot be extended is stopped this long before the hold is used up."""
    decisions: DecisionSettings = field(default_factory=DecisionSettings)
    window_ahead_s: float = 24 * 3600
    """Maintenance is announced to whom it will stop so long before it begins."""
    window_notice_s: float = 600
    """Nobody is stopped for maintenance sooner than this after being told."""
    start_timeout_s: float = 60
    """An attempt not started by then is withdrawn and planned again."""
    starting_max_s: float = 3600
    """Time that an engine may take to get an attempt, of a job or of a build, to run (it puts files in place meanwhile).
    Then the attempt is stopped and the job is planned, or the environment built, anew."""
    meter_interval_s: float = 60
    """Running attempts get a usage span this often."""
    watch_interval_s: float = 0.2
    plan_interval_s: float = 5
    kept_s: float = 30 * 86_400
    """Logs and figures of ended attempts stay this long; their work folders go at the next sweep."""
    upload_bytes_max: int = 20 << 30
    artefacts_bytes_max: int = 20 << 30
    minimum_isolation: Isolation = "none"
    """Nodes that isolate jobs less take none."""
    org_storage_bytes_max: int = 0
    """Bytes that an organisation without a quota on storage may store; 0: no limit."""
    log_bytes_max: int = 0
    """The largest log that a job may ask to be kept of each of its tasks; 0: no limit."""
    org_log_bytes_max: int = 0
    """Bytes of logs that are kept of an organisation; beyond it the oldest go. 0: no limit."""
    org_prepared_bytes_max: int = 0
    """Bytes of environments and sources that are kept of an organisation; 0: no limit."""
    org_cache_bytes_max: int = 0
    """Bytes of uv's cache of an organisation; a larger one is emptied. 0: no limit."""
    project_uploads_max: int = 10_000
    """Uploads that a project keeps, whatever their size; 0: no limit."""
    outputs_kept_days: int = 0
    """Days for which outputs are kept where no rule says otherwise; 0: for ever."""
    network_allowed: bool = False
    """Whether jobs may ask for `network: internet`."""
    git_private_allowed: bool = False
    uv_variables: Mapping[str, str] = field(default_factory=dict)
    """Variables uv gets when it builds environments: mirrors, proxies, certificates."""
    preparations_at_once: int = 2
    """Environments and sources being made at a time, each with 1 CPU and 4 GiB beside what the planner gave away."""


FEASIBLE_MAX = 10_000


@dataclass(slots=True)
class PlannerStatus:
    """The planner's last answers, in memory: why each waiting job waits, and what the pool looked like."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waits: Mapping[str, Wait] = field(default_factory=dict)
    _snapshot: Snapshot | None = None
    _window: PlanningWindow = field(default_factory=PlanningWindow)
    _pool: bytes = b""
    _feasible: set[tuple[Request, int]] = field(default_factory=set)
    queue_counts: QueueCounts = field(default_factory=QueueCounts)
    """How many jobs wait, for the limits at submit."""
    spec_volume: SpecVolume = field(default_factory=SpecVolume)
    """Bytes of specifications that organisations may still submit."""

    def publish(
        self, snapshot: Snapshot, waits: Mapping[str, Wait], window: PlanningWindow | None = None
    ) -> None:
        """Put up the answers of a cycle, and which jobs it looked at (None: as before)."""
        pool = _pool_digest(snapshot)
        with self._lock:
            self._snapshot, self._waits = snapshot, waits
            self._window = self._window if window is None else window
            if pool != self._pool:
                self._pool, self._feasible = pool, set()

    def is_known_feasible(self, request: Request, tasks: int) -> bool:
        """Whether the pool as it is was found able to run this, were it empty."""
        return (request, tasks) in self._feasible

    def remember_feasible(self, seen: Snapshot, request: Request, tasks: int) -> None:
        """Remember that the pool of `seen` can run this, until the pool changes."""
        with self._lock:
            if len(self._feasible) < FEASIBLE_MAX and _pool_digest(seen) == self._pool:
                self._feasible.add((request, tasks))

    def wait_of(self, job_id: str) -> Wait | None:
        """Why a job waits, as of the last cycle."""
        return self._waits.get(job_id)

    def window(self) -> PlanningWindow:
        """Which waiting jobs the last cycle looked at."""
        return self._window

    def snapshot(self) -> Snapshot | None:
        """What the last cycle saw."""
        return self._snapshot


def _pool_digest(snapshot: Snapshot) -> bytes:
    """Equal while the same machines offer the same totals: what is free does not count."""
    nodes = snapshot.nodes
    digest = hashlib.blake2b("\n".join(snapshot.models).encode(), digest_size=16)
    for column in (
        nodes.cpu_total,
        nodes.memory_total,
        nodes.schedulable,
        nodes.rack,
        nodes.pod,
        nodes.device_model,
        nodes.device_link,
        nodes.device_healthy,
        nodes.device_memory_total,
    ):
        digest.update(column.tobytes())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class DataFolders:
    """Where the jobs room keeps files, all under the center's data folder."""

    root: Path

    @property
    def blobs(self) -> Path:
        """Content-addressed files: uploads and artefacts."""
        return self.root / "blobs"

    @property
    def prepared(self) -> Path:
        """Environments and fetched sources, one folder an organisation."""
        return self.root / "prepared"

    @property
    def decisions(self) -> Path:
        """What the planner saw and decided."""
        return self.root / "decisions"

    @property
    def caches(self) -> Path:
        """uv's caches, one an organisation."""
        return self.root / "caches"

    def create(self) -> None:
        """Make the folders, readable by nobody else."""
        for folder in (self.root, self.blobs, self.prepared, self.caches):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Handed to every loop and to the services that touch engines or files."""

    engines: Mapping[str, Engine]
    folders: DataFolders
    settings: JobsSettings = field(default_factory=JobsSettings)
    planner_status: PlannerStatus = field(default_factory=PlannerStatus)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends: what takes long breaks off, to be done again after the next start."""
    uploads: UploadReservations = field(default_factory=UploadReservations)
    """What running uploads have reserved of quotas."""
    policy: PolicyReader = field(default_factory=PolicyReader)
    """Reads the scheduling policy that rules."""
    decisions: DecisionLog = field(init=False)

    def __post_init__(self) -> None:
        self.policy.initial = self.settings.policy
        kept = DecisionLog(self.folders.decisions, self.settings.decisions)
        object.__setattr__(self, "decisions", kept)

    @property
    def pace(self) -> float:
        """How many times faster than the clock jobs run; of several engines that of the slowest."""
        return min((engine.capabilities().pace for engine in self.engines.values()), default=1.0)
