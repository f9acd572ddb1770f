"""Values that every way to reach Slurm gives: jobs, nodes, and what is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.compute.engines.slurm.gres import Gres
from pearlstreet.compute.engines.slurm.states import JobPhase, job_phase

KEY_PREFIX = "pearl:"
"""Prefix of our jobs' names; the rest is the attempt id, by which a job is found again whatever its number is."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a job has of one node."""

    node: str
    cpus: int
    memory_mib: int
    gres: tuple[Gres, ...] = ()


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job, as Slurm lists it."""

    job_id: int
    name: str
    user: str
    states: tuple[str, ...]
    """Its state and the flags beside it, such as COMPLETING."""
    reason: str = ""
    """Why it waits or how it ended, in Slurm's words."""
    nodes: tuple[str, ...] = ()
    submit_s: int = 0
    start_s: int | None = None
    """Start in s since 1970; of a waiting job, Slurm's guess."""
    end_s: int | None = None
    """End in s since 1970; of a running job, when its time limit ends it."""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int = 0
    shares: tuple[Share, ...] = ()

    @property
    def phase(self) -> JobPhase:
        """Phase of the job."""
        return job_phase(self.states)

    @property
    def attempt_id(self) -> str:
        """Attempt that the job's name names; empty: the job is none of ours."""
        return self.name.removeprefix(KEY_PREFIX) if self.name.startswith(KEY_PREFIX) else ""


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """A node, as Slurm lists it."""

    name: str
    states: tuple[str, ...]
    cpus: int
    memory_mib: int
    cpus_used: int = 0
    memory_used_mib: int = 0
    gres: tuple[Gres, ...] = ()
    gres_used: tuple[Gres, ...] = ()
    partitions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    reason: str = ""
    address: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be submitted."""

    attempt_id: str
    script: str
    user: str
    partition: str
    nodes: int
    tasks: int
    cpus_per_node: int
    memory_mib_per_node: int
    gres_per_node: tuple[Gres, ...] = ()
    node_names: tuple[str, ...] = ()
    """Nodes on which it must run; empty: Slurm chooses."""
    time_minutes: int | None = None
    account: str = ""
    qos: str = ""
    reservation: str = ""
    output: str = "/dev/null"
    folder: str = "/"

    @property
    def name(self) -> str:
        """Name of the job, by which it is found again."""
        return KEY_PREFIX + self.attempt_id
