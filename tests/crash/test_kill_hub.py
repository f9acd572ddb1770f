"""kill -9 of the server during uploads, commits, squashes and garbage collection of the hub, on the folder store.

After each kill: no half commit is seen, every blob that a commit names is there and right, and the interrupted work, sent again,
completes. Garbage is collected after seconds instead of a day.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from pearlstreet.hub.tree import Manifest, decode_page
from pearlstreet.hub.xet.hashes import file_hash, hash_text
from pearlstreet.hub.xet.recipe import decode_segments
from pearlstreet.hub.xet.xorb import parse_xorb
from tests.api.test_hub_bad_input import _shard
from tests.crash import doomed
from tests.crash.server import NO_AUTHORITIES, Server
from tests.unit.hub.test_xet import chunk

CYCLES = int(os.environ.get("PEARL_CRASH_CYCLES", "6"))
SEED = int(os.environ.get("PEARL_CRASH_SEED", "1"))
ENTRY = (str(doomed.__file__),)
UNUSED_S = "6"
LIFE_S = 8.0
REPO = "acme/model"
pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data", environment={"HUB_UNUSED_S": UNUSED_S})
    yield made
    made.clean_up()


@dataclass
class Story:
    """One client that uploads, commits, squashes and deletes; it remembers what was acknowledged."""

    server: Server
    rng: random.Random
    round: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    """The files of the branch after the last acknowledged commit."""
    unsure: dict[str, bytes] | None = None
    """The files if the commit whose answer was lost was made."""
    commits: int = 0
    again: int = 0
    """Requests that were sent again after a kill."""

    def run(self, until: threading.Event) -> None:
        """Go on until told, or until the server is gone."""
        with self._client() as http:
            while not until.is_set():
                try:
                    self._step(http)
                except httpx.TransportError:
                    return

    def _client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.server.keys['tenant']}"}
        return httpx.Client(
            base_url=f"{self.server.url}/hf", headers=headers, timeout=30, verify=NO_AUTHORITIES
        )

    def settle(self) -> None:
        """Learn whether the commit without an answer was made, and check that it is whole or absent."""
        with self._client() as http:
            shown = self.shown(http)
            if self.unsure is not None and shown == self._digests(self.unsure):
                self.files = self.unsure
            self.unsure = None
            assert shown == self._digests(self.files), (
                "a commit is half there, or an acknowledged one is lost"
            )
            for path, content in self.files.items():
                got = http.get(f"/{REPO}/resolve/main/{path}")
                assert got.status_code == 200 and got.content == content, path

    def shown(self, http: httpx.Client) -> Mapping[str, str]:
        """Path → SHA-256 or Git's name of each file on the branch."""
        answer = http.get(f"/api/models/{REPO}/tree/main?recursive=true")
        assert answer.status_code == 200, answer.text
        return {one["path"]: one.get("lfs", {}).get("oid", one["oid"]) for one in answer.json()}

    @staticmethod
    def _digests(files: Mapping[str, bytes]) -> Mapping[str, str]:
        def digest(path: str, content: bytes) -> str:
            if path.endswith(".txt"):
                header = b"blob %d\0" % len(content)
                return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
            return hashlib.sha256(content).hexdigest()

        return {path: digest(path, content) for path, content in files.items()}

    def _step(self, http: httpx.Client) -> None:
        self.round += 1
        small = {f"s{at}.txt": self.rng.randbytes(200).hex().encode() for at in range(3)}
        whole, chunked = self.rng.randbytes(40_000), self.rng.randbytes(30_000)
        self._send_lfs(http, whole)
        self._send_xet(http, chunked)
        lines: list[tuple[str, Any]] = [
            ("file", {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"})
            for path, content in small.items()
        ]
        large = {f"w{self.round % 4}.bin": whole, f"x{self.round % 4}.bin": chunked}
        lines += [
            ("lfsFile", {"path": path, "oid": hashlib.sha256(content).hexdigest(), "size": len(content)})
            for path, content in large.items()
        ]
        gone = f"w{(self.round + 2) % 4}.bin"
        after = self.files | small | large
        if gone in self.files and gone not in large:
            lines.append(("deletedFile", {"path": gone}))
            del after[gone]
        self._commit(http, lines, after)
        if self.round % 3 == 0:
            answer = http.post(f"/api/models/{REPO}/super-squash/main", json={"message": "squash"})
            assert answer.status_code == 200, answer.text

    def _send_lfs(self, http: httpx.Client, content: bytes) -> None:
        objects = [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]
        found = _right(
            http.post(f"/{REPO}.git/info/lfs/objects/batch", json={"operation": "upload", "objects": objects})
        )
        actions = found["objects"][0].get("actions")
        if actions:
            _right(http.put("/" + actions["upload"]["href"].partition("/hf/")[2], content=content))
            _right(http.post("/" + actions["verify"]["href"].partition("/hf/")[2]))

    def _send_xet(self, http: httpx.Client, content: bytes) -> None:
        token = _right(http.get(f"/api/models/{REPO}/xet-write-token/main"))["accessToken"]
        headers = {"authorization": f"Bearer {token}"}
        body = chunk(content[:20_000]) + chunk(content[20_000:])
        xorb = parse_xorb(memoryview(body))
        _right(http.post(f"/xet/v1/xorbs/default/{hash_text(xorb.hash)}", content=body, headers=headers))
        whole = file_hash([(one.hash, one.raw_bytes) for one in xorb.chunks])
        shard = _shard((whole, [(xorb.hash, len(content), 0, 2)]))
        _right(http.post("/xet/v1/shards", content=shard, headers=headers))

    def _commit(self, http: httpx.Client, lines: list[tuple[str, Any]], after: dict[str, bytes]) -> None:
        said = [{"key": "header", "value": {"summary": f"round {self.round}"}}]
        said += [{"key": key, "value": value} for key, value in lines]
        body = "\n".join(json.dumps(line) for line in said).encode()
        self.unsure = after
        answer = http.post(f"/api/models/{REPO}/commit/main", content=body)
        if answer.status_code == 422:
            # Sent longer ago than garbage is kept: the next round sends all of it anew.
            self.unsure = None
            self.again += 1
            return
        _right(answer)
        self.files, self.unsure = after, None
        self.commits += 1


def _right(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code == 503:  # going down
        raise httpx.ReadError("unavailable")
    assert answer.status_code < 300, f"{answer.request.url}: {answer.status_code} {answer.text}"
    found: dict[str, Any] = answer.json()
    return found


def every_reference_is_whole(server: Server) -> None:
    """Refs lead to commits, commits to pages, pages to contents, contents to blobs or xorbs, and these to right bytes."""
    commits = {row["id"]: row for row in server.rows("SELECT * FROM hub_commits")}
    pages = {row["digest"]: row["data"] for row in server.rows("SELECT * FROM hub_pages")}
    named = {row["sha256"] for row in server.rows("SELECT sha256 FROM hub_repo_contents")}
    named |= {row["sha256"] for row in server.rows("SELECT sha256 FROM hub_staged")}
    contents = {row["sha256"]: row for row in server.rows("SELECT * FROM hub_contents")}
    xorbs = {row["hash"]: row for row in server.rows("SELECT * FROM hub_xorbs")}
    for ref in server.rows("SELECT * FROM hub_refs"):
        assert ref["commit_id"] in commits, "a branch leads nowhere"
    size = 0
    for commit in commits.values():
        for page in Manifest.decode(commit["manifest"]).pages:
            for entry in decode_page(pages[page.digest]):
                assert entry.sha256 in named, f"{entry.path} names a content that is not kept"
    for sha256 in named:
        content = contents[sha256]
        if content["segments"] is None:
            blob = (server.data / "blobs" / sha256[:2] / sha256).read_bytes()
            assert hashlib.sha256(blob).hexdigest() == sha256, "a blob is damaged"
        for segment in decode_segments(content["segments"] or b""):
            of_xorb = xorbs[hash_text(segment.xorb)]["sha256"]
            blob = (server.data / "blobs" / of_xorb[:2] / of_xorb).read_bytes()
            assert hashlib.sha256(blob).hexdigest() == of_xorb, "an xorb is damaged"
    for row in server.rows("SELECT size_bytes FROM hub_repo_contents"):
        size += row["size_bytes"]
    assert size == sum(row["size_bytes"] for row in server.rows("SELECT size_bytes FROM hub_repos"))


def test_the_hub_through_kills_of_the_server(server: Server) -> None:
    rng = random.Random(SEED)
    server.start(ENTRY, DOOM="")
    server.make_tenant()
    story = Story(server, rng)
    with story._client() as http:
        _right(http.post("/api/repos/create", json={"name": REPO}))
    own = collected = 0
    points = sorted(doomed.HUB_POINTS)
    for cycle in range(CYCLES):
        stop = threading.Event()
        # The client runs in a thread so that the kill strikes in the middle of its requests.
        errors: list[BaseException] = []

        def work(stop: threading.Event = stop, errors: list[BaseException] = errors) -> None:
            try:
                story.run(stop)
            except BaseException as error:
                errors.append(error)

        client = threading.Thread(target=work)
        client.start()
        until = time.monotonic() + (LIFE_S if cycle else rng.uniform(0.5, 2))
        assert server.process is not None
        while time.monotonic() < until and server.process.poll() is None:
            time.sleep(0.02)
        own += server.process.poll() is not None
        server.kill()
        stop.set()
        client.join(60)
        assert not errors, errors
        every_reference_is_whole(server)
        server.start(ENTRY, DOOM="")
        story.settle()
        every_reference_is_whole(server)
        if cycle + 1 < CYCLES:
            assert server.end() == 0
            point = points[cycle % len(points)]
            most = {"commit": 40, "keep": 8, "publish": 8}.get(point, 3)
            order = f"{rng.choice(('before', 'after'))}_{point}:{rng.randint(1, most)}"
            server.launch(ENTRY, DOOM=order)
            if not server.wait_ready():
                own += 1
                server.start(ENTRY, DOOM="")
    before = story.commits
    ends = time.monotonic() + 60
    with story._client() as http:
        while story.commits < before + 4 and time.monotonic() < ends:
            story._step(http)
    assert story.commits == before + 4, "the work does not complete after the kills"
    story.settle()
    every_reference_is_whole(server)
    collected = len({row["sha256"] for row in server.rows("SELECT sha256 FROM hub_contents")})
    assert collected < 5 * story.round, "nothing was collected"
    server.prove()
    assert server.end() == 0
    print(
        f"\nhub: {CYCLES} kills ({own} at chosen points), {story.commits} commits, {collected} contents left"
    )
