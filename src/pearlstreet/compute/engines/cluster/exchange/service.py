"""The exchange of one engine: what nodes without a shared folder get, where they report, and what their jobs run."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pearlstreet.compute.engines.cluster import node_folders
from pearlstreet.compute.engines.cluster.exchange.archives import folder_digest, program_archive
from pearlstreet.compute.engines.cluster.exchange.bootstrap import NodeAccess
from pearlstreet.compute.engines.cluster.exchange.listener import Exchange, Listener
from pearlstreet.compute.engines.cluster.exchange.mirror import UPLOADING, MirroredAttempt, read_saved_us
from pearlstreet.compute.engines.cluster.exchange.tokens import Tokens
from pearlstreet.compute.engines.cluster.journal import Journal, Record
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.protocol import Mount, Stage
from pearlstreet.objects.model import BlobReference

MOUNT = "mount-"
PROGRAMS = "programs"
PROGRAMS_MAX = 20
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """Where the exchange listens, and how nodes reach it."""

    address: str
    host: str
    port: int
    certificate: str = ""
    """Path of the server's certificate in PEM; empty: it speaks HTTP, behind a proxy or in a network that is trusted."""
    key: str = ""
    folder: str = "/var/tmp"  # noqa: S108  # on the nodes


class ExchangeService:
    """A running exchange over the folder that stands for a shared one. Raises OSError if it cannot listen."""

    def __init__(
        self, settings: ExchangeSettings, keys: Path, mirror: Path, entry: Path, journal: Journal
    ) -> None:
        self._mirror, self._journal = mirror, journal
        self._tokens = Tokens(keys)
        program = program_archive(entry)
        self._programs = mirror / PROGRAMS
        _keep_program(self._programs, program)
        authority = Path(settings.certificate).read_text("ascii") if settings.certificate else ""
        self._access = NodeAccess(settings.address, program, authority, settings.folder)
        tls = None
        if settings.certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(settings.certificate, settings.key or None)
        self._trials: dict[str, bytes | None] = {}
        self.address, self.authority = settings.address, authority
        exchange = Exchange(
            self._program, self._tokens, self._attempt, self._order, self._archive, self._keep_trial
        )
        self._listener = Listener(exchange, settings.host, settings.port, tls)

    def close(self) -> None:
        """Stop listening; nodes keep what they have and go on when another exchange listens."""
        self._listener.close()

    def script(self, python: str, attempt_id: str, nodes: int) -> str:
        """Return the script of an attempt's job."""
        return self._access.script(python, attempt_id, self._tokens.of_attempt(attempt_id), nodes)

    def is_uploading(self, record: Record) -> bool:
        """Return whether a node's tasks are over and its results are on their way."""
        folder = self._folder(record)
        return any(
            (node_folders.node_folder(folder, number) / UPLOADING).exists() for number in range(record.nodes)
        )

    # -- trial jobs of the engine's checks

    def open_trial(self, token: str) -> None:
        """Wait for what a trial job with that token sees."""
        self._trials[token] = None

    def read_trial(self, token: str) -> bytes:
        """Return what the trial job saw; empty: it has not told yet."""
        return self._trials.get(token) or b""

    def close_trial(self, token: str) -> None:
        """Wait no longer."""
        self._trials.pop(token, None)

    def _keep_trial(self, token: str, told: bytes) -> bool:
        if self._trials.get(token, b"") is not None:
            return False
        self._trials[token] = told
        return True

    # -- what the listener asks

    def _program(self, digest: str) -> bytes | None:
        try:
            return (self._programs / f"{digest}.tar.gz").read_bytes() if DIGEST.fullmatch(digest) else None
        except FileNotFoundError:
            return None

    def _folder(self, record: Record) -> Path:
        return self._mirror / "tenants" / record.user / "attempts" / record.attempt_id

    def _attempt(self, attempt_id: str) -> MirroredAttempt | None:
        record = self._journal.get(attempt_id)
        if record is None or not record.is_ordered or record.end is not None:
            return None
        folder = self._folder(record)
        checkpoint = (
            Folders(folder.parent.parent).checkpoint(record.checkpoint) if record.checkpoint else None
        )
        stop = None
        if record.stop_us is not None:
            stop = {"grace_s": record.stop_grace_s, "at_us": record.stop_us}
        return MirroredAttempt(attempt_id, folder, record.nodes, record.ranks_per_node, checkpoint, stop)

    def _order(self, attempt: MirroredAttempt) -> Mapping[str, Any]:
        content: Mapping[str, Any] = json.loads((attempt.folder / node_folders.ORDER).read_text("utf-8"))
        return {**content, "saved_us": read_saved_us(attempt.checkpoint) if attempt.checkpoint else None}

    def _archive(self, attempt: MirroredAttempt, name: str) -> Path | None:
        if name == "work":
            return attempt.folder / "work"
        if name == "checkpoint":
            return attempt.checkpoint
        number = name.removeprefix(MOUNT)
        mounts = self._order(attempt)["order"]["mounts"]
        if name.startswith(MOUNT) and number.isdecimal() and len(number) < 4 and int(number) < len(mounts):
            return Path(mounts[int(number)]["source"])
        return None


def _keep_program(folder: Path, program: bytes) -> None:
    """Keep a program under its SHA-256, and the newest of those before it. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{hashlib.sha256(program).hexdigest()}.tar.gz"
    partial = path.with_suffix(".partial")
    partial.write_bytes(program)
    partial.rename(path)
    by_age = sorted(folder.glob("*.tar.gz"), key=lambda item: item.stat().st_mtime_ns, reverse=True)
    for old in by_age[PROGRAMS_MAX:]:
        old.unlink()


def mount_digests(mounts: Sequence[Mount]) -> list[str]:
    """Return the digest of each folder that nodes fetch and cache. Raises OSError."""
    return [folder_digest(Path(mount.source)) for mount in mounts]


def split_stages(stages: Sequence[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Return the inputs that the server puts into the work folder, and those that nodes read from the object store themselves.

    A node reads what has a signed address, unless another input goes to the same place, because their order counts then.
    """
    own = [stage for stage in stages if not _has_address(stage)]
    direct = [
        stage
        for stage in stages
        if _has_address(stage) and not any(_overlap(stage.target, other.target) for other in own)
    ]
    return [stage for stage in stages if stage not in direct], direct


def _has_address(stage: Stage) -> bool:
    return isinstance(stage.source, BlobReference) and bool(stage.source.url)


def _overlap(one: str, other: str) -> bool:
    first, second = ([part for part in path.split("/") if part not in ("", ".")] for path in (one, other))
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]
