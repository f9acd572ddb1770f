"""Archives of the hub: the files of a revision as a tar, and a repository with its whole history.

A history archive is a tar of `history.ndjson` and `blobs/SHA-256`. Each line of the first is `{"key": …, "value": {…}}`: `history`
with the version of the format; then each commit, after its parent: `commit` (id, parent, title, message, author, at), followed by
its changes as in commits of the Hugging Face Hub API (`file` with the content, `lfsFile` with SHA-256 and size, `deletedFile`);
at last each `ref` (kind, name, commit, message). `blobs` has the bytes of the large files.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from pearlstreet.base.errors import InvalidInput, Problem, TooLarge
from pearlstreet.base.paths import path_problem
from pearlstreet.base.text import Text, text
from pearlstreet.client.hub import BATCH, CHUNK, Progress, RepoName, Repositories, inline_line, large_line

VERSION = 1
LINES = "history.ndjson"
"""Name of the archive's member with the commits."""
BLOBS = "blobs/"
MEMBERS_MAX = 400_000
HEADER_BYTES_MAX = 1 << 20
"""Maximum length of one extended header: a hostile one would fill the memory."""
EXPANSION_MAX = 250
"""Maximum ratio of expanded to compressed bytes, beyond `EXPANSION_FREE_BYTES`."""
EXPANSION_FREE_BYTES = 1 << 30
GROUP_BYTES = 256 << 20
"""Bytes of an archive that are on disk at once, beside the largest file."""


def import_tar(
    hub: Repositories,
    repository: str,
    source: Path,
    *,
    into: str = "",
    title: str = "",
    progress: Progress = lambda path, size_bytes: None,
) -> str:
    """Commit the files of a tar (plain, gzip or bzip2), which is read as a stream; returns the commit's id.

    Raises InvalidInput for a link or a path that would leave the folder, TooLarge for an archive that expands too much.
    """
    prefix = f"{into.strip('/')}/" if into.strip("/") else ""
    with tempfile.TemporaryDirectory(prefix="pearl-import-") as folder:
        groups = _groups(source, prefix, Path(folder))
        return hub.upload_groups(
            repository, groups, title=title or f"Import {source.name}", progress=progress
        )


def _groups(source: Path, prefix: str, folder: Path) -> Iterator[Sequence[tuple[str, Path]]]:
    group: list[tuple[str, Path]] = []
    size = 0
    for path, content in read_tar(source):
        place = folder / str(len(group))
        size += _copy(content, place)[1]
        group.append((prefix + path, place))
        if len(group) >= BATCH or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def read_tar(source: Path) -> Iterator[tuple[str, Member]]:
    """Yield path and content of each file of a tar, in order. Raises InvalidInput, TooLarge."""
    seen: set[str] = set()
    with source.open("rb") as file:
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Forward(file)), mode="r:") as archive:
                for count, member in enumerate(archive):
                    if count > MEMBERS_MAX:
                        raise TooLarge(text("The archive has more than {most} entries", most=MEMBERS_MAX))
                    if member.isdir():
                        continue
                    path = _member_path(member, seen)
                    content = archive.extractfile(member)
                    assert content is not None
                    yield path, Member(content, source)
        except _BROKEN as error:
            raise _not_whole(source, error) from error


_BROKEN = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error)
"""What the libraries raise for bytes that are no archive."""


def _not_whole(source: Path, error: Exception) -> InvalidInput:
    return _wrong(
        text("{path} is not a whole tar archive: {problem}", path=source.name, problem=str(error)[:200])
    )


class Member:
    """The content of a file in an archive."""

    def __init__(self, content: IO[bytes], source: Path) -> None:
        self._content = content
        self._source = source

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises InvalidInput, TooLarge."""
        try:
            return self._content.read(size)
        except _BROKEN as error:
            raise _not_whole(self._source, error) from error


def _member_path(member: tarfile.TarInfo, seen: set[str]) -> str:
    path = member.name.removeprefix("./")
    if not member.isreg() or member.issparse():
        raise _wrong(
            text("{path} is a link or a special file", path=ascii(path[:200])[1:-1]),
            hint=text("Pack the files that links lead to: tar --dereference"),
        )
    problem = path_problem(path)
    if problem is None and path in seen:
        problem = text("{path} is in the archive twice", path=path)
    if problem is not None:
        raise _wrong(problem)
    seen.add(path)
    return path


class _Forward(io.RawIOBase):
    """A file that is expanded while it is read from its begin to its end; refuses what expands too much."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        start = file.read(3)
        file.seek(0)
        opened: Any = file
        if start[:2] == b"\x1f\x8b":
            opened = gzip.GzipFile(fileobj=file)
        elif start == b"BZh":
            opened = bz2.BZ2File(file)
        self._expanded = opened
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > max(HEADER_BYTES_MAX, CHUNK):
            raise tarfile.ReadError("a header is too long")
        data = bytes(self._expanded.read(size))
        self._at += len(data)
        if self._at > EXPANSION_FREE_BYTES + EXPANSION_MAX * self._file.tell():
            raise TooLarge(text("The archive expands to more than {most} times its size", most=EXPANSION_MAX))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence or offset < self._at:
            raise tarfile.StreamError("the archive is read once")
        while self._at < offset and self.read(min(CHUNK, offset - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def export_tar(
    hub: Repositories,
    repository: str,
    target: Path,
    *,
    progress: Progress = lambda path, size_bytes: None,
) -> int:
    """Write the files of a revision into a new tar (gzip if its name ends in gz); returns their number."""
    repo = RepoName.parse(repository)
    commit = hub.get(repository)["commit"]["id"]
    count = 0
    with _new_tar(target) as archive:
        for entry in hub.tree(repo, commit):
            digest = entry["lfs"]["oid"] if "lfs" in entry else None
            _add(archive, hub, repo, commit, entry["path"], entry["path"], entry["size"], digest)
            progress(entry["path"], entry["size"])
            count += 1
    return count


def export_history(
    hub: Repositories,
    repository: str,
    target: Path,
    *,
    progress: Progress = lambda path, size_bytes: None,
) -> int:
    """Write a repository with the history of all branches and tags into a new archive; returns the number of commits."""
    repo = RepoName.parse(repository)
    with tempfile.NamedTemporaryFile(prefix="pearl-export-") as lines:
        blobs: dict[str, tuple[str, str, int]] = {}
        count = _write_history(hub, repo, lines, blobs, progress)
        lines.flush()
        with _new_tar(target) as archive:
            archive.add(lines.name, LINES, filter=_anonymous)
            for digest, (commit, path, size) in blobs.items():
                _add(archive, hub, repo, commit, path, BLOBS + digest, size, digest)
                progress(path, size)
    return count


def _write_history(
    hub: Repositories,
    repo: RepoName,
    lines: IO[bytes],
    blobs: dict[str, tuple[str, str, int]],
    progress: Progress,
) -> int:
    def say(line: Mapping[str, Any]) -> None:
        lines.write(json.dumps(line).encode() + b"\n")

    plain = f"{repo.type}s/{repo.full_name}"
    refs = hub.get(plain)["refs"]
    commits: dict[str, Any] = {}
    for ref in refs:
        commits |= {one["id"]: one for one in hub.revisions(f"{plain}@{ref['commit']}")}
    say({"key": "history", "value": {"version": VERSION, "type": repo.type, "name": repo.full_name}})
    trees: dict[str, dict[str, tuple[str, int, bool]]] = {}
    last_use = {one["parent"]: one["number"] for one in sorted(commits.values(), key=_number)}
    for one in sorted(commits.values(), key=_number):
        parent = one["parent"] if one["parent"] in commits else None
        facts = {name: one[name] for name in ("id", "title", "message", "author", "at")}
        say({"key": "commit", "value": {**facts, "parent": parent}})
        before = trees.get(parent, {}) if parent else {}
        tree = trees[one["id"]] = {
            entry["path"]: (entry.get("lfs", entry)["oid"], entry["size"], "lfs" in entry)
            for entry in hub.tree(repo, one["id"])
        }
        for path, (oid, size, is_large) in tree.items():
            if before.get(path) == (oid, size, is_large):
                continue
            if is_large:
                blobs.setdefault(oid, (one["id"], path, size))
                say(large_line(path, oid, size))
            else:
                with hub.open_file(repo, one["id"], path) as answer:
                    say(inline_line(path, b"".join(answer.iter_raw())))
                progress(path, size)
        for path in before.keys() - tree.keys():
            say({"key": "deletedFile", "value": {"path": path}})
        trees = {name: known for name, known in trees.items() if last_use.get(name, 0) > one["number"]}
    for ref in refs:
        say({"key": "ref", "value": dict(ref)})
    return len(commits)


def _number(commit: Mapping[str, Any]) -> int:
    return int(commit["number"])


def import_history(
    hub: Repositories,
    repository: str,
    source: Path,
    *,
    progress: Progress = lambda path, size_bytes: None,
) -> int:
    """Import a history archive into a new repository; returns the number of commits. Raises InvalidInput."""
    repo = RepoName.parse(repository)
    with tempfile.TemporaryDirectory(prefix="pearl-import-") as folder:
        lines, blob = Path(folder, "lines"), Path(folder, "blob")
        for path, content in read_tar(source):
            if path != LINES and not path.startswith(BLOBS):
                raise _wrong(text("{path} is not part of an archive of a history", path=path))
            digest, size = _copy(content, lines if path == LINES else blob)
            if path == LINES:
                continue
            if path != BLOBS + digest:
                raise _wrong(text("{path} has other bytes than its name says", path=path))
            hub.send_large(repo, [(path, blob, digest, size)], progress)
        if not lines.exists():
            raise _wrong(text("{path} is not an archive of a history", path=source.name))
        return int(hub.put_history(repo, lines)["commits"])


def _copy(content: Member, place: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with place.open("wb") as file:
        for chunk in iter(lambda: content.read(CHUNK), b""):
            digest.update(chunk)
            size += file.write(chunk)
    return digest.hexdigest(), size


@contextmanager
def _new_tar(target: Path) -> Iterator[tarfile.TarFile]:
    """Yield an archive that appears under its name when it is whole."""
    temporary = target.with_name(target.name + ".part")
    try:
        with tarfile.open(
            temporary, "w:gz" if target.name.endswith("gz") else "w:", format=tarfile.PAX_FORMAT
        ) as archive:
            yield archive
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _add(
    archive: tarfile.TarFile,
    hub: Repositories,
    repo: RepoName,
    commit: str,
    path: str,
    name: str,
    size: int,
    digest: str | None,
) -> None:
    """Add a file of the hub to an archive, without a copy on disk. Raises InvalidInput if its bytes are wrong."""
    member = tarfile.TarInfo(name)
    member.size = size
    with hub.open_file(repo, commit, path) as answer:
        content = _Content(answer.iter_raw())
        try:
            archive.addfile(member, cast("IO[bytes]", content))
        except OSError as error:
            raise _wrong(text("The file {path} came incomplete", path=path)) from error
    if digest is not None and content.digest.hexdigest() != digest:
        raise _wrong(text("The file {path} came with other bytes than its digest says", path=path))


class _Content:
    """Bytes that come in chunks, as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._waiting = b""
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        while len(self._waiting) < size and (chunk := next(self._chunks, b"")):
            self._waiting += chunk
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        self.digest.update(data)
        return data


def _wrong(message: Text, hint: Text | None = None) -> InvalidInput:
    return InvalidInput(message, hint=hint, problems=[Problem("source", message)])
