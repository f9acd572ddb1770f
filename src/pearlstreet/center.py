"""Facts of one running center for the interfaces: its store, name, sign-in providers, limits and backups."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import Unavailable
from pearlstreet.base.text import text
from pearlstreet.http.limits import HttpLimits
from pearlstreet.http.rate_limiter import Rates
from pearlstreet.http.stream_limiter import StreamLimiter
from pearlstreet.hub.hub import Hub
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
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
    version: str
    hub: Hub
    """Repositories of data sets and models."""
    name: str = "pearlstreet"
    oidc: Mapping[str, OidcClient] = field(default_factory=dict)
    """Sign-in providers by name."""
    public_url: str = ""
    """URL under which browsers reach the center; empty: taken from each request."""
    backup: Callable[[str], BackupFile] | None = None
    """Makes a backup in the center's own backup folder under the given name."""
    backups: Callable[[], Sequence[BackupFile]] | None = None
    """Function that lists the backups in that folder, newest first."""
    notices: tuple[Any, ...] = ()
    """Messages for operators, as Text."""
    rates: Rates = field(default_factory=Rates)
    streams: StreamLimiter = field(default_factory=lambda: StreamLimiter(HttpLimits()))
    """Open event streams and followed logs."""
    channels: Channels = field(default_factory=Channels)
    """The ways out for notices."""
    backing_up: threading.Lock = field(default_factory=threading.Lock)
    """Held while a backup is made: one at a time."""
    started_us: int = 0


def make_backup(center: Center, store: Store, actor: Actor) -> BackupFile:
    """Back the center up while it runs; the key file is not part of it. `store`: may be one that acts once.

    Raises Forbidden, Unavailable.
    """
    actor.require("backup:write")
    if center.backup is None:
        raise Unavailable(text("This center makes no backups itself"))
    stamp = to_rfc3339(store.clock.now_us())[:19].replace(":", "").replace("-", "")

    def record(tx: Tx, made: BackupFile) -> BackupFile:
        details = {"bytes": made.size_bytes}
        audit.record(tx, actor=actor.label, action="backup.make", target=made.name, details=details)
        return made

    with center.backing_up:
        store.not_done_before()  # else the file of a repeated request would be made, and then nobody's
        made = center.backup(f"pearl-{stamp}Z")
        return store.write(lambda tx: record(tx, made))


def list_backups(center: Center, actor: Actor) -> Sequence[BackupFile]:
    """Return backups in the center's own folder, newest first. Raises Forbidden."""
    actor.require("backup:write")
    return list(center.backups()) if center.backups is not None else []
