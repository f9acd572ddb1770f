"""Routes that write files: announcing them, small files within commits, and commits."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.responses import Response

from pearlstreet.base.errors import Conflict, InvalidInput, Problem, TooLarge
from pearlstreet.base.text import Text, text
from pearlstreet.hub import revisions
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.cards import read_card
from pearlstreet.hub.contents import has_content, refuse_too_much, stage_blobs
from pearlstreet.hub.model import CARD_FILE, Changes, Repository, TreeEntry
from pearlstreet.hub.names import check_file_path, check_sha256
from pearlstreet.hub.tree import find_entry
from pearlstreet.hubapi.call import Call, answer, in_thread, list_of, parse_object, text_of
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor

SMALL_BYTES_MAX = 10 << 20
"""Largest text file that is sent within a commit; binary files and larger ones are sent as large files."""
BODY_BYTES_MAX = 256 << 20
LINE_BYTES_MAX = 16 << 20
OPERATIONS_MAX = 100_000
PREUPLOAD_MAX = 1000
BATCH_FILES = 500
BATCH_BYTES = 8 << 20
"""Small files of a commit that are kept in one transaction: their number and bytes."""
_TEXT_ENDINGS = (".md", ".json", ".jsonl", ".txt", ".py", ".yaml", ".yml", ".toml", ".csv", ".cfg", ".jinja")


async def preupload(call: Call) -> Response:
    """Say for each file whether to send it within the commit or as a large file."""
    _refuse_pull_request(call)
    actor = await call.actor()
    files = list_of(parse_object(await call.body(8 << 20)), "files", PREUPLOAD_MAX)

    def read(tx: Tx) -> list[dict[str, object]]:
        repo = find_repo(tx, actor, call.kind, call.name, write=True)
        revision = revisions.find_revision(tx, repo.id, call.at["rev"])
        load = revisions.page_loader(tx, repo.id)
        return [_mode(file, find_entry(revision.manifest, load, str(file.get("path")))) for file in files]

    return answer({"files": await in_thread(lambda: call.store.read(read))})


def _mode(file: dict[str, Any], existing: TreeEntry | None) -> dict[str, object]:
    path, size = check_file_path(text_of(file, "path", limit=2000)), file.get("size")
    try:
        sample = base64.b64decode(text_of(file, "sample"), validate=True)
        sample.decode()
        is_text = b"\0" not in sample
    except UnicodeDecodeError as error:
        is_text = len(error.object) - error.start < 4 and b"\0" not in error.object  # cut within a character
    except (ValueError, binascii.Error):
        is_text = False
    large = not is_text or not isinstance(size, int) or size > SMALL_BYTES_MAX
    if isinstance(size, int) and size > 1 << 20 and not path.lower().endswith(_TEXT_ENDINGS):
        large = True
    answered: dict[str, object] = {
        "path": path,
        "uploadMode": "lfs" if large and size else "regular",
        "shouldIgnore": False,
    }
    if existing is not None and existing.is_large == (answered["uploadMode"] == "lfs"):
        answered["oid"] = existing.git_oid or existing.sha256
    return answered


@dataclass
class Received:
    """Operations of a commit."""

    title: str = ""
    message: str = ""
    parent: str | None = None
    files: dict[str, TreeEntry] = field(default_factory=dict)
    deleted_files: set[str] = field(default_factory=set)
    deleted_folders: set[str] = field(default_factory=set)
    copies: dict[str, tuple[str, str]] = field(default_factory=dict)
    unsized: set[str] = field(default_factory=set)
    """Paths of large files whose size the client left out, as for copies."""
    card: dict[str, object] | None = None

    @property
    def count(self) -> int:
        """Number of operations."""
        return len(self.files) + len(self.deleted_files) + len(self.deleted_folders)


async def commit(call: Call) -> Response:
    """Commit changes on a branch."""
    _refuse_pull_request(call)
    actor = await call.actor()
    repo = await in_thread(
        lambda: call.store.read(lambda tx: find_repo(tx, actor, call.kind, call.name, write=True))
    )
    async with call.received(BODY_BYTES_MAX) as body:
        received = await in_thread(lambda: _read(call, actor, repo, body))
    branch = call.at["rev"].removeprefix("refs/heads/")
    changes = Changes(received.files, frozenset(received.deleted_files), frozenset(received.deleted_folders))
    made = await in_thread(
        lambda: revisions.create_commit(
            call.store,
            call.hub,
            actor,
            call.kind,
            call.name,
            branch,
            changes,
            title=received.title,
            message=received.message,
            parent=received.parent,
            card=received.card,
        )
    )
    url = f"{call.repo_url(call.kind, call.name)}/commit/{made.id}"
    return answer({"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": ""})


def _refuse_pull_request(call: Call) -> None:
    if call.request.query_params.get("create_pr") in ("1", "true", "True"):
        raise Conflict(text("This hub has no pull requests: commit to a branch"))


def body_lines(body: Path) -> Iterator[bytes]:
    """Yield the lines of a received body that are not empty. Raises TooLarge."""
    with body.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX + 1):
            if len(line) > LINE_BYTES_MAX:
                raise TooLarge(
                    text("A file of the commit is larger than {limit} bytes", limit=SMALL_BYTES_MAX)
                )
            if line.strip():
                yield line


@dataclass
class SmallFiles:
    """Keeps the contents of a commit's small files, many in one transaction: one by one 100,000 files take minutes."""

    call: Call
    repo: Repository
    waiting: dict[str, bytes] = field(default_factory=dict)
    waiting_bytes: int = 0
    kept: set[str] = field(default_factory=set)

    def add(self, path: str, content: bytes) -> TreeEntry:
        """Return the entry of a file whose content is kept, at the latest after `flush`."""
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in self.kept and sha256 not in self.waiting:
            self.waiting[sha256] = content
            self.waiting_bytes += len(content)
            if len(self.waiting) >= BATCH_FILES or self.waiting_bytes >= BATCH_BYTES:
                self.flush()
        # Git's name of the file, which the protocol demands; nothing trusts it.
        git_oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return TreeEntry(path, sha256, len(content), git_oid)

    def flush(self) -> None:
        """Keep the contents that wait."""
        if not self.waiting:
            return
        call, repo = self.call, self.repo
        call.store.read(lambda tx: refuse_too_much(tx, call.hub, repo, self.waiting_bytes))
        blobs = [
            call.hub.blobs.keep(iter([content]), call.new_name(), limit_bytes=LINE_BYTES_MAX)
            for content in self.waiting.values()
        ]
        stage_blobs(call.store, repo, blobs)
        self.kept |= set(self.waiting)
        self.waiting, self.waiting_bytes = {}, 0


def _read(call: Call, actor: Actor, repo: Repository, body: Path) -> Received:
    """Return the operations of a body, with the contents of small files stored."""
    received = Received()
    small = SmallFiles(call, repo)
    for line in body_lines(body):
        said = parse_object(line)
        value = said.get("value")
        if not isinstance(value, dict):
            raise wrong("value", text("Each line has a key and a value"))
        take(small, received, str(said.get("key")), value)
        if received.count > OPERATIONS_MAX:
            raise TooLarge(text("A commit has at most {most} changes", most=OPERATIONS_MAX))
    small.flush()
    if received.unsized:
        call.store.read(lambda tx: _find_sizes(tx, actor, repo, received))
    return received


def take(small: SmallFiles, received: Received, key: str, value: dict[str, Any]) -> None:
    """Add the operation of one line. Raises InvalidInput."""
    if key == "header":
        received.title = text_of(value, "summary", "Change files")
        received.message = text_of(value, "description", limit=65_000)
        received.parent = text_of(value, "parentCommit") or None
        return
    path = text_of(value, "path", limit=2000)
    if key == "deletedFile":
        received.deleted_files.add(path)
    elif key == "deletedFolder":
        received.deleted_folders.add(path.strip("/"))
    elif key == "file":
        check_file_path(path)
        content = _content(value)
        received.files[path] = small.add(path, content)
        if path == CARD_FILE:
            received.card = dict(read_card(content))
    elif key == "lfsFile":
        sha256, size = check_sha256(value.get("oid")), value.get("size")
        if not isinstance(size, int) or isinstance(size, bool):
            received.unsized.add(path)
            size = 0
        received.files[check_file_path(path)] = TreeEntry(path, sha256, size, "")
    else:
        raise wrong("key", text("{key} is not an operation of commits", key=ascii(key[:40])))


def _content(value: dict[str, Any]) -> bytes:
    if value.get("encoding", "utf-8") != "base64":
        return text_of(value, "content", limit=LINE_BYTES_MAX).encode()
    try:
        return base64.b64decode(text_of(value, "content", limit=LINE_BYTES_MAX), validate=True)
    except (ValueError, binascii.Error):
        raise wrong("content", text("The content is not base64")) from None


def _find_sizes(tx: Tx, actor: Actor, repo: Repository, received: Received) -> None:
    for path in received.unsized:
        entry = received.files[path]
        size = has_content(tx, actor, repo, entry.sha256)
        if size is None:
            raise wrong("oid", text("The content of {path} was not uploaded", path=path))
        received.files[path] = TreeEntry(path, entry.sha256, size, "")


def wrong(field_name: str, message: Text) -> InvalidInput:
    """Return the error for a wrong field of a body."""
    return InvalidInput(message, problems=[Problem(field_name, message)])
