"""Dependencies of the jobs package beside the store: engines, folders, settings and the planner's last results."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.settings import ExecutionSettings
from pearlstreet.compute.execution.shells import OpenShells
from pearlstreet.compute.jobs.decisions.log import DecisionLog, DecisionSettings
from pearlstreet.compute.jobs.planning_window import PlanningWindow
from pearlstreet.compute.jobs.policy.model import Policy
from pearlstreet.compute.jobs.policy.rows import PolicyReader
from pearlstreet.compute.jobs.queue_limits import QueueCounts
from pearlstreet.compute.jobs.spec_volume import SpecVolume
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.plan import Wait
from pearlstreet.compute.scheduling.rows import Request
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.objects.model import BlobStore
from pearlstreet.storage.upload_reservations import UploadReservations
from pearlstreet.workload.environments.images import Registry


@dataclass(frozen=True, slots=True)
class JobsSettings(ExecutionSettings):
    """Settings of jobs and their attempts that an operator can change. Times are in seconds."""

    policy: Policy = field(default_factory=Policy)
    """Scheduling policy until another version is set."""
    decisions: DecisionSettings = field(default_factory=DecisionSettings)
    window_ahead_s: float = 24 * 3600
    """Time before maintenance at which the owners of jobs that it will stop are notified."""
    window_notice_s: float = 600
    """Minimum time between that notification and stopping a job."""
    plan_interval_s: float = 5
    upload_bytes_max: int = 20 << 30
    artefacts_bytes_max: int = 20 << 30
    org_storage_bytes_max: int = 0
    """Maximum bytes stored by an organisation without a quota on storage; 0: no limit."""
    log_bytes_max: int = 0
    """Maximum log size per task that a job may request; 0: no limit."""
    org_log_bytes_max: int = 0
    """Maximum bytes of logs of an organisation, above which the oldest are deleted; 0: no limit."""
    org_prepared_bytes_max: int = 0
    """Maximum bytes of environments and sources of an organisation; 0: no limit."""
    org_cache_bytes_max: int = 0
    """Maximum bytes of uv's cache of an organisation, above which it is emptied; 0: no limit."""
    project_uploads_max: int = 10_000
    """Maximum number of uploads that a project stores; 0: no limit."""
    outputs_kept_days: int = 0
    """Days for which outputs are kept unless a retention rule applies; 0: for ever."""
    network_allowed: bool = False
    """Whether jobs may request `network: internet`."""
    git_private_allowed: bool = False
    image_registries: tuple[Registry, ...] = ()
    """Registries from which jobs may use container images."""
    uv_variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of uv for builds: mirrors, proxies, certificates."""
    preparations_at_once: int = 2
    """Maximum number of concurrent builds of environments and sources, each with 1 CPU core and 4 GiB of memory."""
    builds_billed: bool = False
    """Whether the CPU and memory time of builds is billed to the project whose job requested them."""


FEASIBLE_MAX = 10_000


@dataclass(slots=True)
class PlannerStatus:
    """Results of the last planning cycle, in memory: the reason of each waiting job and the snapshot of the pool."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waits: Mapping[str, Wait] = field(default_factory=dict)
    _snapshot: Snapshot | None = None
    _window: PlanningWindow = field(default_factory=PlanningWindow)
    _pool: bytes = b""
    _feasible: set[tuple[Request, int]] = field(default_factory=set)
    queue_counts: QueueCounts = field(default_factory=QueueCounts)
    """Numbers of waiting jobs, for the limits at submit."""
    spec_volume: SpecVolume = field(default_factory=SpecVolume)
    """Rate limit on the bytes of submitted specifications, by organisation."""

    def publish(
        self, snapshot: Snapshot, waits: Mapping[str, Wait], window: PlanningWindow | None = None
    ) -> None:
        """Publish the results of a cycle and the window of jobs that it loaded (None: unchanged)."""
        pool = _pool_digest(snapshot)
        with self._lock:
            self._snapshot, self._waits = snapshot, waits
            self._window = self._window if window is None else window
            if pool != self._pool:
                self._pool, self._feasible = pool, set()

    def is_known_feasible(self, request: Request, tasks: int) -> bool:
        """Return whether the present pool is known to be able to run the request when empty."""
        return (request, tasks) in self._feasible

    def remember_feasible(self, seen: Snapshot, request: Request, tasks: int) -> None:
        """Remember until the pool changes that the pool of `seen` can run the request when empty."""
        with self._lock:
            if len(self._feasible) < FEASIBLE_MAX and _pool_digest(seen) == self._pool:
                self._feasible.add((request, tasks))

    def wait_of(self, job_id: str) -> Wait | None:
        """Return why a job waits, as of the last cycle; None if it was not planned."""
        return self._waits.get(job_id)

    def window(self) -> PlanningWindow:
        """Return the window of waiting jobs that the last cycle loaded."""
        return self._window

    def snapshot(self) -> Snapshot | None:
        """Return the snapshot of the last cycle; None before the first."""
        return self._snapshot


def _pool_digest(snapshot: Snapshot) -> bytes:
    """Return a digest of the nodes and their total resources, independent of what is free."""
    nodes = snapshot.nodes
    digest = hashlib.blake2b("\n".join(snapshot.models).encode(), digest_size=16)
    for column in (
        nodes.cpu_total,
        nodes.memory_total,
        nodes.schedulable,
        nodes.rack,
        nodes.pod,
        nodes.domain,
        nodes.device_model,
        nodes.device_link,
        nodes.device_healthy,
        nodes.device_memory_total,
    ):
        digest.update(column.tobytes())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class DataFolders:
    """Folders of the jobs package under the center's data folder."""

    root: Path

    @property
    def blobs(self) -> Path:
        """Content-addressed files: uploads and artefacts."""
        return self.root / "blobs"

    @property
    def prepared(self) -> Path:
        """Environments and fetched sources, in one folder per organisation."""
        return self.root / "prepared"

    @property
    def decisions(self) -> Path:
        """Records of the planner's decisions."""
        return self.root / "decisions"

    @property
    def caches(self) -> Path:
        """Caches of uv, one per organisation."""
        return self.root / "caches"

    def create(self) -> None:
        """Create the folders, readable only by the server's user."""
        for folder in (self.root, self.blobs, self.prepared, self.caches):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Dependencies of the loops and of the services that use engines or files."""

    engines: Mapping[str, Engine]
    folders: DataFolders
    settings: JobsSettings = field(default_factory=JobsSettings)
    planner_status: PlannerStatus = field(default_factory=PlannerStatus)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends: long tasks stop, and are done again after the next start."""
    uploads: UploadReservations = field(default_factory=UploadReservations)
    """Quota reserved by running uploads."""
    shells: OpenShells = field(default_factory=OpenShells)
    """Shells that people have open in running jobs on this server."""
    stored_blobs: BlobStore | None = None
    """Store of blobs; None: the folder of the center."""
    policy: PolicyReader = field(default_factory=PolicyReader)
    """Reader of the scheduling policy in force."""
    blobs: BlobStore = field(init=False)
    """Uploads and artefacts."""
    decisions: DecisionLog = field(init=False)

    def __post_init__(self) -> None:
        self.policy.initial = self.settings.policy
        kept = DecisionLog(self.folders.decisions, self.settings.decisions)
        object.__setattr__(self, "decisions", kept)
        object.__setattr__(self, "blobs", self.stored_blobs or FolderBlobs(self.folders.blobs))

    @property
    def pace(self) -> float:
        """Speed of jobs as a multiple of real time; of several engines that of the slowest."""
        return min((engine.capabilities().pace for engine in self.engines.values()), default=1.0)
