"""What the doors need to answer: the store, the jobs runtime, and a few facts. Made by the app room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.store.core import Store
from pearlstreet.tenancy.notices.sending import Channels
from pearlstreet.tenancy.oidc_client import OidcClient


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A backup in the center's own folder."""

    name: str
    size_bytes: int
    at_us: int


@dataclass(frozen=True)
class Center:
    """One running center."""

    store: Store
    runtime: Runtime
    version: str
    name: str = "pearlstreet"
    oidc: Mapping[str, OidcClient] = field(default_factory=dict)
    """Sign-in providers by name."""
    public_url: str = ""
    """Where browsers reach the center; empty: as the request says."""
    backup: Callable[[str], BackupFile] | None = None
    """Makes a backup in the center's own backup folder under the given name."""
    backups: Callable[[], Sequence[BackupFile]] | None = None
    """What is in that folder, newest first."""
    notices: tuple[Any, ...] = ()
    """What operators must know, as Text."""
    channels: Channels = field(default_factory=Channels)
    """The ways out for notices."""
    backing_up: threading.Lock = field(default_factory=threading.Lock)
    """Held while a backup is made: one at a time."""
    started_us: int = 0
