"""Paths of an attempt's folders, on the host and inside the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

INSIDE: Mapping[str, str] = MappingProxyType(
    {"work": "/pearl/work", "outputs": "/pearl/outputs", "home": "/pearl/home", "tmp": "/tmp"}  # noqa: S108
)
METRICS_INSIDE = "/pearl/metrics.jsonl"
CHECKPOINT_INSIDE = "/pearl/checkpoint"
DRIVER_INSIDE = "/pearl/driver"
"""Folder of the host's driver beside a container image, which brings no driver."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one local engine."""

    root: Path

    @property
    def attempts(self) -> Path:
        """The folder that holds one folder for each attempt."""
        return self.root / "attempts"

    @property
    def checkpoints(self) -> Path:
        """The folder that holds one checkpoint folder for each owner of attempts."""
        return self.root / "checkpoints"

    def checkpoint(self, key: str) -> Path:
        """Return the checkpoint folder of one owner. The caller has checked the key with `plain_id`."""
        return self.checkpoints / key

    def notes(self, key: str) -> Path:
        """Return the folder in which the stager remembers a checkpoint folder. The caller has checked the key with `plain_id`."""
        return self.root / "checkpoint-notes" / key

    @property
    def trash(self) -> Path:
        """The folder for files that are being deleted."""
        return self.root / "trash"

    @property
    def stubs(self) -> Path:
        """The folder of the files that replace the host's in the /etc of jobs."""
        return self.root / "etc"

    def attempt(self, attempt_id: str) -> Path:
        """Return the folder of one attempt. The caller has checked the id with `plain_id`."""
        return self.attempts / attempt_id


def seen_at(folder: Path, rank: int, *, inside: bool) -> Mapping[str, str]:
    """Return the paths of work, outputs, home, tmp and metrics for a task, `inside` a sandbox or on the host."""
    if inside:
        return {**INSIDE, "metrics": METRICS_INSIDE}
    return {
        **{name: str(folder / name) for name in INSIDE},
        "metrics": str(folder / "user-metrics" / f"{rank}.jsonl"),
    }
