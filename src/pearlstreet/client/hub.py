"""`client.hub`: repositories of models and data sets. Bytes travel by the Hugging Face Hub API of the same center."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    import httpx

    from pearlstreet.client import results

HF = "/hf"
CHUNK = 1 << 20
INLINE_BYTES_MAX = 1 << 20
"""Largest text file that is sent within the commit."""
INLINE_TOTAL_BYTES_MAX = 64 << 20
BATCH = 200
SKIPPED_FOLDERS = frozenset({".git", ".cache", "__pycache__"})
Progress = Callable[[str, int], None]
"""Called with a file's path and size after it was sent or received."""


@dataclass(frozen=True, slots=True)
class RepoName:
    """A repository as people write it: `org/name` is a model; else `datasets/org/name`; `@` and a revision may follow."""

    type: str
    org: str
    name: str
    revision: str = "main"

    @staticmethod
    def parse(value: str) -> RepoName:
        """Return the parts of a name. Raises InvalidInput."""
        name, _, revision = value.partition("@")
        parts = name.strip("/").split("/")
        types = {"models": "model", "datasets": "dataset", "recipes": "recipe"}
        if len(parts) == 2:
            parts = ["models", *parts]
        if len(parts) != 3 or parts[0] not in types or not all(parts):
            message = text("{name} is not the name of a repository", name=value[:140])
            raise InvalidInput(
                message,
                hint=text("Write organisation/name for a model, datasets/organisation/name for a data set"),
                problems=[Problem("name", message)],
            )
        return RepoName(types[parts[0]], parts[1], parts[2], revision or "main")

    @property
    def full_name(self) -> str:
        """Name with the organisation."""
        return f"{self.org}/{self.name}"

    @property
    def api(self) -> str:
        """Path of the repository in the Hugging Face Hub API."""
        return f"{HF}/api/{self.type}s/{self.org}/{self.name}"

    @property
    def files(self) -> str:
        """Path below which the repository's files are."""
        folder = "" if self.type == "model" else f"/{self.type}s"
        return f"{HF}{folder}/{self.org}/{self.name}"


class Repositories(Noun):
    """Repositories: look, create, change, delete; send and get files."""

    def list(self, *, limit: int = 100, **filters: object) -> Iterator[results.Repository]:
        """Yield repositories; filters: repo_type, owner, search, tag, task, language, licence, size_bytes_min, size_bytes_max, sort."""
        return self._pages("/hub", limit=limit, **filters)

    def get(self, repository: str) -> results.RepositoryView:
        """Return a repository at its revision, with branches, tags and the caller's rights."""
        repo = RepoName.parse(repository)
        found: results.RepositoryView = self._get(self._at(repo), revision=repo.revision)
        return found

    def create(self, repository: str, *, visibility: str = "private") -> results.Repository:
        """Create a repository."""
        repo = RepoName.parse(repository)
        body = {"type": repo.type, "name": repo.full_name, "visibility": visibility}
        made: results.Repository = self._send("POST", "/hub", body)
        return made

    def change(self, repository: str, **settings: object) -> results.Repository:
        """Change name, visibility, gate, gate_days, jobs_only or shared_with."""
        made: results.Repository = self._send(
            "PATCH", self._at(RepoName.parse(repository)), given(**settings)
        )
        return made

    def delete(self, repository: str) -> results.HubDone:
        """Delete a repository with its history."""
        gone: results.HubDone = self._send("DELETE", self._at(RepoName.parse(repository)))
        return gone

    def files(
        self, repository: str, *, folder: str = "", recursive: bool = False
    ) -> Iterator[results.FolderEntry]:
        """Yield files and folders of a folder, or all files below it."""
        repo = RepoName.parse(repository)
        wanted = {"revision": repo.revision, "folder": folder, "recursive": str(recursive).lower()}
        return self._pages(self._at(repo) + "/files", limit=500, **wanted)

    def preview(self, repository: str, file: str = "README.md") -> results.FilePreview:
        """Return what a file holds: first rows, text, tensors, or the imports of a pickle."""
        repo = RepoName.parse(repository)
        found: results.FilePreview = self._get(
            self._at(repo) + "/preview", revision=repo.revision, file_path=file
        )
        return found

    def revisions(self, repository: str) -> Iterator[results.HubCommit]:
        """Yield the commits that led to a revision, newest first."""
        repo = RepoName.parse(repository)
        return self._pages(self._at(repo) + "/revisions", revision=repo.revision)

    def create_ref(self, repository: str, kind: str, ref: str, *, message: str = "") -> results.HubRef:
        """Create a branch or tag at the revision in `repository`."""
        repo = RepoName.parse(repository)
        body = {"kind": kind, "name": ref, "revision": repo.revision, "message": message}
        made: results.HubRef = self._send("POST", self._at(repo) + "/refs", body)
        return made

    def delete_ref(self, repository: str, kind: str, ref: str) -> results.HubDone:
        """Delete a branch or tag."""
        repo = RepoName.parse(repository)
        gone: results.HubDone = self._send("DELETE", self._at(repo) + "/refs", ref_kind=kind, ref_name=ref)
        return gone

    def access(self, repository: str) -> results.RepositoryAccess:
        """Return roles, sharing and requests for access of a repository."""
        found: results.RepositoryAccess = self._get(self._at(RepoName.parse(repository)) + "/access")
        return found

    def set_role(self, repository: str, user: str, role: str | None) -> results.HubDone:
        """Give a person a role (read, write, admin), or with None take it away."""
        body = {"user": user, "role": role}
        made: results.HubDone = self._send("PUT", self._at(RepoName.parse(repository)) + "/roles", body)
        return made

    def request_access(self, repository: str, note: str = "") -> results.AccessRequest:
        """Request the files of a gated repository."""
        place = self._at(RepoName.parse(repository)) + "/access-requests"
        made: results.AccessRequest = self._send("POST", place, {"note": note})
        return made

    def decide_access(self, repository: str, user: str, state: str, note: str = "") -> results.AccessRequest:
        """Accept or reject a person's request: `accepted`, `rejected` or `pending`."""
        place = self._at(RepoName.parse(repository)) + "/access-requests"
        made: results.AccessRequest = self._send("PUT", place, {"user": user, "state": state, "note": note})
        return made

    def approvals(self, repository: str) -> Rows[results.ProjectApproval]:
        """Return the requests of projects to use a repository in their jobs, newest first."""
        found: Rows[results.ProjectApproval] = self._get(self._at(RepoName.parse(repository)) + "/approvals")[
            "items"
        ]
        return found

    def request_approval(
        self, repository: str, org: str, project: str, reason: str
    ) -> results.ProjectApproval:
        """Request that jobs of a project may read a repository that is used in jobs only."""
        place = self._at(RepoName.parse(repository)) + "/approvals"
        body = {"org": org, "project": project, "reason": reason}
        made: results.ProjectApproval = self._send("POST", place, body)
        return made

    def decide_approval(
        self, repository: str, project: str, state: str, note: str = "", days: int = 0
    ) -> results.ProjectApproval:
        """Decide the request of a project (`organisation/project`): `approved`, `rejected` or `revoked`; `days` 0: no end."""
        place = self._at(RepoName.parse(repository)) + "/approvals"
        body = {"project": project, "state": state, "note": note, "days": days}
        made: results.ProjectApproval = self._send("PUT", place, body)
        return made

    def downloads(self, repository: str) -> Iterator[results.HubDownload]:
        """Yield the recorded downloads, newest first."""
        return self._pages(self._at(RepoName.parse(repository)) + "/downloads")

    def lineage(self, repository: str) -> results.Lineage:
        """Return what a revision was made from and what was made from it."""
        repo = RepoName.parse(repository)
        found: results.Lineage = self._get(self._at(repo) + "/lineage", revision=repo.revision)
        return found

    def upload(
        self,
        repository: str,
        source: Path,
        *,
        into: str = "",
        title: str = "",
        progress: Progress = lambda path, size_bytes: None,
    ) -> str:
        """Commit a file, or all files of a folder, on a branch; returns the commit's id. Raises NotFound without a file."""
        sent = _local_files(source, into.strip("/"))
        if not sent:
            raise NotFound(text("There is no file to send at {path}", path=str(source)))
        groups = (sent[start : start + BATCH] for start in range(0, len(sent), BATCH))
        title = title or f"Upload {source.resolve().name}"
        return self.upload_groups(repository, groups, title=title, progress=progress)

    def upload_groups(
        self,
        repository: str,
        groups: Iterable[Sequence[tuple[str, Path]]],
        *,
        title: str,
        progress: Progress = lambda path, size_bytes: None,
    ) -> str:
        """Commit files, each given by its path in the repository and its place; returns the commit's id.

        A group is sent before the next one is asked for, so its files may be deleted then.
        """
        repo = RepoName.parse(repository)
        lines: Rows[Mapping[str, Any]] = []
        inline_bytes = 0
        for group in groups:
            large: Rows[tuple[str, Path, str, int]] = []
            for path, file in group:
                content = inline_content(file) if inline_bytes < INLINE_TOTAL_BYTES_MAX else None
                if content is None:
                    large.append((path, file, *_digest(file)))
                    continue
                inline_bytes += len(content)
                lines.append(inline_line(path, content))
                progress(path, len(content))
            self.send_large(repo, large, progress)
            lines += [large_line(path, digest, size) for path, _, digest, size in large]
        return self.commit(repo, title, lines)

    def commit(self, repo: RepoName, title: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Commit changes, as lines of the Hugging Face Hub API, on a branch; returns the commit's id."""
        header = {"key": "header", "value": {"summary": title, "description": ""}}
        answer = self._transport.request(
            "POST",
            f"{repo.api}/commit/{quote(repo.revision, safe='')}",
            content="\n".join(json.dumps(line) for line in [header, *lines]).encode(),
            headers={"content-type": "application/x-ndjson"},
            timeout_s=600.0,
        )
        return str(answer.json()["commitOid"])

    def missing(self, repo: RepoName, wanted: Mapping[str, int]) -> Mapping[str, str]:
        """Return where to send the large files (SHA-256 and size) that the hub does not have. Raises InvalidInput."""
        objects = [{"oid": digest, "size": size} for digest, size in wanted.items()]
        answer = self._transport.request(
            "POST",
            f"{HF}/{repo.type}s/{repo.full_name}.git/info/lfs/objects/batch",
            json={"operation": "upload", "transfers": ["basic"], "objects": objects},
        )
        places = {}
        for one in answer.json()["objects"]:
            if "error" in one:
                raise InvalidInput(text("{problem}", problem=str(one["error"]["message"])))
            if "actions" in one:
                places[one["oid"]] = HF + str(one["actions"]["upload"]["href"]).partition(HF)[2]
        return places

    def send_large(
        self, repo: RepoName, files: Sequence[tuple[str, Path, str, int]], progress: Progress
    ) -> None:
        """Send files (path, place, SHA-256, size) that the hub does not have; a commit names them afterwards."""
        if not files:
            return
        places = dict(self.missing(repo, {digest: size for _, _, digest, size in files}))
        for path, file, digest, size in files:
            if place := places.pop(digest, None):
                self._transport.request("PUT", place, content=_reader(file), timeout_s=600.0)
            progress(path, size)

    def download(
        self,
        repository: str,
        target: Path,
        *,
        paths: Sequence[str] = (),
        progress: Progress = lambda path, size_bytes: None,
    ) -> int:
        """Download all files of a revision, or some, into a folder; returns their number. Each appears whole or not at all."""
        repo = RepoName.parse(repository)
        view = self.get(repository)
        commit = view["commit"]["id"]
        at_commit = f"{repo.type}s/{repo.full_name}@{commit}"
        wanted = list(paths) or [entry["path"] for entry in self.files(at_commit, recursive=True)]
        for path in wanted:
            place = (target / path).resolve()
            if not place.is_relative_to(target.resolve()):
                raise NotFound(text("The file {path} would leave the folder", path=path))
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(place.name + ".part")
            with (
                self._transport.stream(f"{repo.files}/resolve/{commit}/{quote(path)}") as answer,
                temporary.open("wb") as file,
            ):
                for part in answer.iter_raw():
                    file.write(part)
            temporary.replace(place)
            progress(path, place.stat().st_size)
        return len(wanted)

    def open_file(self, repo: RepoName, commit: str, path: str) -> AbstractContextManager[httpx.Response]:
        """Return the response with the bytes of a file at a commit, read as they come."""
        return self._transport.stream(f"{repo.files}/resolve/{commit}/{quote(path)}")

    def tree(self, repo: RepoName, commit: str) -> Iterator[Mapping[str, Any]]:
        """Yield the files of a commit as the Hugging Face Hub API lists them: `lfs` marks those sent before the commit."""
        query: dict[str, str] | None = {"recursive": "true"}
        while query:
            answer = self._transport.request("GET", f"{repo.api}/tree/{commit}", params=query)
            yield from (one for one in answer.json() if one["type"] == "file")
            following = answer.links.get("next", {}).get("url", "")
            query = dict(parse_qsl(urlsplit(following).query))

    def put_history(self, repo: RepoName, lines: Path) -> Mapping[str, Any]:
        """Import a history (`client/hub_archives.py`) into a new repository; returns its commits and heads."""
        answer = self._transport.request(
            "PUT",
            f"{repo.api}/history",
            content=_reader(lines),
            headers={"content-type": "application/x-ndjson"},
            timeout_s=600.0,
        )
        return dict(answer.json())

    @staticmethod
    def _at(repo: RepoName) -> str:
        return at("hub", repo.type, repo.org, repo.name)


def _local_files(source: Path, into: str) -> Rows[tuple[str, Path]]:
    """Return the files to send with their paths in the repository; links are followed to files, as in snapshot folders."""
    prefix = f"{into}/" if into else ""
    if source.is_file():
        return [(prefix + source.name, source)]
    found: Rows[tuple[str, Path]] = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                found.append((prefix + file.relative_to(source).as_posix(), file))
    return found


def inline_line(path: str, content: bytes) -> Mapping[str, Any]:
    """Return the line of a commit for a small text file."""
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def large_line(path: str, digest: str, size_bytes: int) -> Mapping[str, Any]:
    """Return the line of a commit for a file that was sent before."""
    value = {"path": path, "algo": "sha256", "oid": digest, "size": size_bytes}
    return {"key": "lfsFile", "value": value}


def inline_content(file: Path) -> bytes | None:
    """Return the content of a small text file, or None."""
    if file.stat().st_size > INLINE_BYTES_MAX:
        return None
    content = file.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return None if b"\0" in content else content


def _reader(file: Path) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                yield chunk

    return chunks


def _digest(file: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in _reader(file)():
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
