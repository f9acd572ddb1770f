"""Where an attempt lives on disk, and where its tasks see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

INSIDE: Mapping[str, str] = MappingProxyType(
    {"work": "/pearl/work", "outputs": "/pearl/outputs", "home": "/pearl/home", "tmp": "/tmp"}  # noqa: S108
)
METRICS_INSIDE = "/pearl/metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one engine."""

    root: Path

    @property
    def attempts(self) -> Path:
        """One folder for each attempt."""
        return self.root / "attempts"

    @property
    def trash(self) -> Path:
        """What is being deleted."""
        return self.root / "trash"

    @property
    def stubs(self) -> Path:
        """The few files of /etc that jobs see instead of the host's."""
        return self.root / "etc"

    def attempt(self, attempt_id: str) -> Path:
        """The folder of one attempt; the id is checked to be a plain name."""
        return self.attempts / attempt_id


def seen_at(folder: Path, rank: int, *, inside: bool) -> Mapping[str, str]:
    """Where tasks find work, outputs, home, tmp and metrics: `inside` a sandbox, or on the host itself."""
    if inside:
        return {**INSIDE, "metrics": METRICS_INSIDE}
    return {
        **{name: str(folder / name) for name in INSIDE},
        "metrics": str(folder / "user-metrics" / f"{rank}.jsonl"),
    }
