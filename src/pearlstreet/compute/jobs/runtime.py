"""Dependencies of the jobs package beside the store: engines, folders, settings and the planner's last results."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.engine_states import EngineStates
from pearlstreet.compute.execution.owners import Owner
from pearlstreet.compute.execution.shells import CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX, OpenShells
from pearlstreet.compute.jobs.spec_volume import SpecVolume
from pearlstreet.compute.queueing.decisions.log import DecisionLog
from pearlstreet.compute.queueing.policy.rows import PolicyReader
from pearlstreet.compute.queueing.queue_limits import QueueCounts
from pearlstreet.compute.queueing.runtime import PlannerStatus, QueueingSettings
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.objects.model import BlobStore
from pearlstreet.storage.upload_reservations import UploadReservations
from pearlstreet.store.core import Store
from pearlstreet.workload.environments.images import Registry


@dataclass(frozen=True, slots=True)
class JobsSettings(QueueingSettings):
    """Settings of jobs and their attempts that an operator can change. Times are in seconds."""

    upload_bytes_max: int = 20 << 30
    artefacts_bytes_max: int = 20 << 30
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
    builds_at_once: int = 2
    """Maximum number of concurrent builds of environments and sources, each with 1 CPU core and 4 GiB of memory."""
    org_builds_at_once: int = 0
    """Maximum number of concurrent builds of one organisation; 0: no limit of its own."""
    burn_in_org: str = ""
    """Organisation in which burn-ins of nodes run; empty: there are none."""
    idle_percent: float = 5.0
    """Utilization below which an accelerator is idle."""
    idle_warn_s: float = 3600.0
    """Idle time of all accelerators of a job after which its owner is notified; 0: never."""
    idle_release_s: float = 0.0
    """Idle time after which the job is stopped; 0: never."""
    idle_release_queues: tuple[str, ...] = ()
    """Queues whose idle jobs are stopped; empty: all."""
    idle_notice_s: float = 900.0
    """Minimum time between the notice and the stop."""
    builds_billed: bool = False
    """Whether the CPU and memory time of builds is billed to the project whose job requested them."""


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
    store: Store | None = None
    """Store of the center, for reading chunked files of the hub."""
    connections: OpenShells = field(
        default_factory=lambda: OpenShells(CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX)
    )
    """Connections that people have open to ports of services on this server."""
    stored_blobs: BlobStore | None = None
    """Store of blobs; None: the folder of the center."""
    queue_counts: QueueCounts = field(default_factory=QueueCounts)
    """Numbers of waiting jobs, for the limits at submit."""
    spec_volume: SpecVolume = field(default_factory=SpecVolume)
    """Rate limit on the bytes of submitted specifications, by organisation."""
    owners: dict[str, Owner] = field(default_factory=dict)
    """Owners of attempts by kind, once the loops are made."""
    policy: PolicyReader = field(default_factory=PolicyReader)
    """Reader of the scheduling policy in force."""
    blobs: BlobStore = field(init=False)
    """Uploads and artefacts."""
    engine_states: EngineStates = field(default_factory=EngineStates)
    """Which engines answer."""
    engine_kinds: Mapping[str, str] = field(default_factory=dict)
    """Kind of each engine by its name; left out: the kind has the engine's name."""
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
