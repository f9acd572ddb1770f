"""Layout of the shared folder: one folder for each user of the cluster that jobs run as, and in it those of attempts.

tenants/USER/attempts/ATTEMPT/order.json     what the program on the nodes reads (it holds secrets: only USER may)
                              work outputs logs user-metrics
                              node-0 node-1 …  state, samples, home and /tmp of the tasks on each node
tenants/USER/checkpoints/KEY
program/VERSION/                             the program of the nodes, which everybody may read
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pearlstreet.compute.engines.local.folders import Folders

ORDER = "order.json"
SHARED = ("work", "outputs", "logs", "user-metrics")
"""Folders of an attempt that its nodes share."""
OWN = ("tmp", "home")
"""Folders that each node of an attempt has for itself."""


@dataclass(frozen=True, slots=True)
class NodeFolders(Folders):
    """Folders of one user of the cluster, as the program on one node of an attempt sees them."""

    place: Path

    def attempt(self, attempt_id: str) -> Path:
        """Return this node's folder of the attempt."""
        return self.place


def node_folder(attempt: Path, number: int) -> Path:
    """Return the folder of one node of an attempt."""
    return attempt / f"node-{number}"


def make_attempt_folders(attempt: Path, nodes: int) -> None:
    """Create the folders of an attempt. Raises OSError."""
    attempt.mkdir(mode=0o700)
    for name in SHARED:
        (attempt / name).mkdir(mode=0o700)
    for number in range(nodes):
        folder = node_folder(attempt, number)
        folder.mkdir(mode=0o700)
        for name in OWN:
            (folder / name).mkdir(mode=0o700)
        for name in SHARED:
            (folder / name).symlink_to(f"../{name}")
