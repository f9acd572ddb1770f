"""Mirror of a repository of another hub, through this machine: files that changed there become one revision here.

The other hub is any server with the Hugging Face Hub API. Every file is checked against the digest that the other hub lists for it.
Large files that this center already got are not fetched again, so a mirror that broke off continues when it is repeated.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from pearlstreet.base.errors import InvalidInput, Problem, Unavailable
from pearlstreet.base.text import Text, text
from pearlstreet.client.hub import (
    INLINE_BYTES_MAX,
    INLINE_TOTAL_BYTES_MAX,
    Progress,
    RepoName,
    Repositories,
    inline_content,
    inline_line,
    large_line,
)

FILES_MAX = 100_000
ANSWER_BYTES_MAX = 64 << 20
"""Maximum size of one answer with facts."""
TIMEOUT_S = 60.0
LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """Number of files that were fetched, kept as they were, and deleted; `commit`: None if nothing had changed."""

    commit: str | None
    fetched: int
    unchanged: int
    deleted: int


class RemoteHub:
    """Another hub. The token goes to this hub alone, also when it redirects."""

    def __init__(self, endpoint: str, token: str | None = None) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise _wrong(text("{url} is not the address of a hub", url=endpoint[:200]))
        if token and parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
            raise _wrong(text("A token is sent by https only"))
        headers = {"user-agent": "pearlstreet-client", "accept-encoding": "identity"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.host = parts.netloc
        self._base = endpoint.rstrip("/")
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT_S, follow_redirects=True, max_redirects=5)

    def commit_id(self, repo: RepoName) -> str:
        """Return the id of the newest commit of a revision."""
        place = f"{self._api(repo)}/revision/{quote(repo.revision, safe='')}"
        return str(self._json(place, {}).json()["sha"])

    def files(self, repo: RepoName, commit: str) -> Iterator[Mapping[str, Any]]:
        """Yield the files of a commit."""
        query = {"recursive": "true"}
        while query:
            answer = self._json(f"{self._api(repo)}/tree/{commit}", query)
            yield from (one for one in answer.json() if one.get("type") == "file")
            following = answer.links.get("next", {}).get("url", "")
            query = dict(parse_qsl(urlsplit(following).query))

    def fetch(self, repo: RepoName, commit: str, path: str, place: Path, size: int) -> tuple[str, str]:
        """Write the bytes of a file; return their SHA-256 and their name in Git. Raises Unavailable, InvalidInput."""
        folder = "" if repo.type == "model" else f"/{repo.type}s"
        url = f"{self._base}{folder}/{repo.full_name}/resolve/{commit}/{quote(path)}"
        digest = hashlib.sha256()
        git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        received = 0
        try:
            with self._http.stream("GET", url) as answer, place.open("wb") as file:
                self._check(answer)
                for part in answer.iter_raw():
                    received += len(part)
                    if received > size:
                        break
                    digest.update(part)
                    git.update(part)
                    file.write(part)
        except httpx.HTTPError as error:
            raise self._silent(error) from None
        if received != size:
            raise _wrong(text("The file {path} has another size than the other hub lists", path=path))
        return digest.hexdigest(), git.hexdigest()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _api(self, repo: RepoName) -> str:
        return f"{self._base}/api/{repo.type}s/{repo.full_name}"

    def _json(self, url: str, query: Mapping[str, str]) -> httpx.Response:
        try:
            answer = self._http.get(url, params=query or None)
        except httpx.HTTPError as error:
            raise self._silent(error) from None
        self._check(answer)
        if len(answer.content) > ANSWER_BYTES_MAX:
            raise _wrong(text("The answer of the other hub is too large"))
        return answer

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            raise _wrong(
                text("{host} answers {status}", host=self.host, status=answer.status_code),
                hint=text("Check the name of the repository, its revision, and the token"),
            )

    def _silent(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(
            text("{host} does not answer: {problem}", host=self.host, problem=str(error)[:200]),
            hint=text("Repeat the command: it continues where it broke off"),
            retry_after_s=30,
        )


def mirror(
    hub: Repositories,
    remote: RemoteHub,
    source: str,
    repository: str,
    *,
    progress: Progress = lambda path, size_bytes: None,
) -> MirrorResult:
    """Make the files of a branch here equal to those of a revision of another hub, by one commit.

    Raises InvalidInput for a file whose bytes are not those that the other hub lists; nothing is committed then.
    """
    there, here = RepoName.parse(source), RepoName.parse(repository)
    commit = remote.commit_id(there)
    known = _known_files(hub, here, repository)
    lines: list[Mapping[str, Any]] = []
    listed: set[str] = set()
    fetched = inline_bytes = 0
    with tempfile.TemporaryDirectory(prefix="pearl-mirror-") as folder:
        place = Path(folder, "file")
        for entry in remote.files(there, commit):
            path, size = str(entry["path"]), int(entry["size"])
            listed.add(path)
            if len(listed) > FILES_MAX:
                raise _wrong(text("A mirror has at most {most} files", most=FILES_MAX))
            expected = str(entry.get("lfs", entry)["oid"])
            if expected in known.get(path, ()):
                continue
            if "lfs" in entry and not hub.missing(here, {expected: size}):
                lines.append(large_line(path, expected, size))
                continue
            sha256, git_oid = remote.fetch(there, commit, path, place, size)
            if expected not in (sha256, git_oid):
                raise _wrong(text("The file {path} has another digest than the other hub lists", path=path))
            fetched += 1
            content = inline_content(place) if size <= INLINE_BYTES_MAX and "lfs" not in entry else None
            if content is not None and inline_bytes + size <= INLINE_TOTAL_BYTES_MAX:
                inline_bytes += size
                lines.append(inline_line(path, content))
            elif sha256 not in known.get(path, ()):
                hub.send_large(here, [(path, place, sha256, size)], lambda path, size_bytes: None)
                lines.append(large_line(path, sha256, size))
            progress(path, size)
    gone = sorted(known.keys() - listed)
    unchanged = len(listed) - len(lines)
    lines += [{"key": "deletedFile", "value": {"path": path}} for path in gone]
    if not lines:
        return MirrorResult(None, fetched, unchanged, 0)
    title = f"Mirror {there.full_name}@{commit[:12]} of {remote.host}"
    return MirrorResult(hub.commit(here, title, lines), fetched, unchanged, len(gone))


def _known_files(hub: Repositories, here: RepoName, repository: str) -> dict[str, tuple[str, str]]:
    """Return SHA-256 and name in Git of the files of our branch, by path."""
    at_commit = f"{here.type}s/{here.full_name}@{hub.get(repository)['commit']['id']}"
    digests = {one["path"]: str(one["sha256"]) for one in hub.files(at_commit, recursive=True)}
    commit = at_commit.partition("@")[2]
    return {one["path"]: (digests[one["path"]], str(one["oid"])) for one in hub.tree(here, commit)}


def _wrong(message: Text, hint: Text | None = None) -> InvalidInput:
    return InvalidInput(message, hint=hint, problems=[Problem("source", message)])
