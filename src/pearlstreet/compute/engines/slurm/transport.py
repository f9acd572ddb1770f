"""How the engine reaches Slurm: what it asks, and the three ways in which that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pearlstreet.compute.engines.slurm.model import SlurmJob, SlurmNode, Submission


class TransportError(Exception):
    """Base of the failures; its argument says what happened, in Slurm's or the system's words."""


class NotReachedError(TransportError):
    """The request certainly had no effect; it may succeed later."""


class UncertainError(TransportError):
    """The request may have had an effect."""


class RejectedError(TransportError):
    """Slurm refused the request; repeating it will not help."""


class BadGresError(RejectedError):
    """Slurm has no such generic resource: gres.conf, the nodes' Gres= and the engine's settings do not agree."""


BAD_GRES = "generic resource"
"""What Slurm says of a name that it does not have: "Invalid generic resource (gres) specification"."""
BAD_TYPE = "node configuration is not available"
"""What 22.05 says of a type of gpu that no node has: "Requested node configuration is not available"."""


def rejected(said: str, job: Submission) -> RejectedError:
    """Return the error of a job that Slurm refused with these words."""
    words = said.lower()
    if job.gres_per_node and (BAD_GRES in words or BAD_TYPE in words):
        return BadGresError(said)
    return RejectedError(said)


class Transport(Protocol):
    """A way to reach Slurm. Any thread may call it. Every method raises TransportError."""

    @property
    def names_nodes(self) -> bool:
        """Whether a submission can name its nodes."""
        ...

    def jobs(self) -> Sequence[SlurmJob]:
        """Return all jobs that Slurm remembers, those of others too."""
        ...

    def nodes(self) -> Sequence[SlurmNode]:
        """Return all nodes."""
        ...

    def topology(self) -> str:
        """Return Slurm's topology as `scontrol show topology` writes it; empty: this way to Slurm does not tell it."""
        ...

    def submit(self, job: Submission) -> int:
        """Submit a job as its user and return its number."""
        ...

    def set_drain(self, node: str, reason: str | None) -> None:
        """Drain a node of Slurm for a reason, or resume it (None)."""
        ...

    def cancel(self, job_id: int, user: str) -> None:
        """End a job of a user at once; without effect for one that is over or unknown."""
        ...

    def accounts(self, since_s: int) -> Sequence[SlurmJob]:
        """Return the jobs that ended or ran since then, from Slurm's accounting, with their times."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
