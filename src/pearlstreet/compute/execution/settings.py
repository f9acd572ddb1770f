"""What the loops of execution need: engines, owners, and settings that an operator can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.execution.engine_states import EngineStates
from pearlstreet.compute.execution.owners import Owners
from pearlstreet.compute.hardware.isolation import Isolation
from pearlstreet.objects.model import BlobStore


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Settings of attempts. Times are in seconds."""

    hold_window_s: float = 24 * 3600
    """Longest time that a hold covers; a loop extends it for longer time limits."""
    stop_notice_s: float = 300
    """Time before the end of a hold that cannot be extended at which its attempt is stopped."""
    start_timeout_s: float = 60
    """Time after which an attempt that was not started is withdrawn and planned again."""
    starting_max_s: float = 3600
    """Time that an engine may take to start an attempt of a job or a build, including the transfer of files.

    After it the attempt is stopped, and the job is planned or the environment built again.
    """
    meter_interval_s: float = 60
    """Time between two usage spans of a running attempt."""
    watch_interval_s: float = 0.2
    kept_s: float = 30 * 86_400
    """Time for which logs and metrics of ended attempts are kept; their work folders are deleted at the next sweep."""
    checkpoints_kept_s: float = 7 * 86_400
    """Time for which the checkpoints of an ended owner are kept."""
    org_checkpoint_bytes_max: int = 0
    """Maximum bytes of checkpoints of an organisation, above which those of owners that ended first are deleted; 0: no limit."""
    checkpoint_upload_s: float = 300
    """Time between two uploads of the checkpoint of a running attempt, in a center of several engines."""
    org_storage_bytes_max: int = 0
    """Maximum bytes stored by an organisation without a quota on storage; 0: no limit."""
    minimum_isolation: Isolation = "none"
    """Weakest isolation with which a node may take jobs."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Engines, owners and settings of the loops."""

    engines: Mapping[str, Engine]
    owners: Owners
    settings: ExecutionSettings = field(default_factory=ExecutionSettings)
    blobs: BlobStore | None = None
    """Store of checkpoints that move to another engine; None: they do not."""
    states: EngineStates = field(default_factory=EngineStates)
    """Which engines answer."""
