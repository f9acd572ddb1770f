"""What the services of the hub need beside the store: blobs, a folder for unfinished files, and limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pearlstreet.objects.model import BlobStore


class HubSettings(Protocol):
    """Settings that limit what the hub stores."""

    @property
    def org_storage_bytes_max(self) -> int:
        """Maximum bytes stored by an organisation without a quota on storage; 0: no limit."""

    @property
    def upload_bytes_max(self) -> int:
        """Maximum bytes of one file."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub of one center."""

    blobs: BlobStore
    work: Path
    """Folder for files that are being received."""
    settings: HubSettings

    def create(self) -> None:
        """Create the folder, readable only by the server's user."""
        self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
