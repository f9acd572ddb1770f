"""Inputs from the object store are verified, by path or by address, before a job sees them."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engines_staging.kit import content

from pearlstreet.compute.engines.staging.runner import http as requests
from pearlstreet.compute.engines.staging.runner.blob_stream import DamagedBlob
from pearlstreet.compute.engines.staging.runner.inputs import InputWriter

DATA = content(3_000_000)


class _Store(http.server.BaseHTTPRequestHandler):
    """Serves DATA; breaks the first transfers off after a while."""

    breaks = 0
    status = 200
    asked: list[str | None] = []

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        type(self).asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(self.status if self.status != 200 else 206 if asked else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        end = len(DATA)
        if type(self).breaks:
            type(self).breaks -= 1
            end = start + 1_000_000
        self.wfile.write(DATA[start:end])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(requests, "PAUSE_S", 0.01)
    _Store.breaks, _Store.status, _Store.asked = 0, 200, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/blob?signature=1"
    server.shutdown()
    server.server_close()


def put(folder: Path, source: object, kind: str = "file") -> Path:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    writer = InputWriter(str(work), None, 1 << 30, lambda: False, str(folder))
    try:
        writer.put({"source": source, "target": "in/data", "kind": kind})
    finally:
        writer.close()
    return work / "in/data"


def source(data: bytes = DATA, **where: str) -> dict[str, object]:
    found = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "path": "", "url": ""}
    return {**found, **where}


def test_an_address_is_read_and_goes_on_after_a_lost_connection(address: str, tmp_path: Path) -> None:
    _Store.breaks = 2
    assert put(tmp_path, source(url=address)).read_bytes() == DATA
    assert _Store.asked == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_store_that_refuses_is_not_asked_again_and_the_address_is_not_told(
    address: str, tmp_path: Path
) -> None:
    _Store.status = 403
    with pytest.raises(OSError, match="403") as caught:
        put(tmp_path, source(url=address))
    assert "signature" not in str(caught.value) and len(_Store.asked) == 1


@pytest.mark.parametrize("kind", ["file", "archive"])
@pytest.mark.parametrize("by", ["path", "url"])
def test_changed_bytes_are_not_taken(address: str, tmp_path: Path, by: str, kind: str) -> None:
    (tmp_path / "blob").write_bytes(DATA)
    where = {"url": address} if by == "url" else {"path": str(tmp_path / "blob")}
    other = DATA[:-1] + b"!"
    with pytest.raises(DamagedBlob):
        put(tmp_path, source(other, **where), kind)
    assert not list((tmp_path / "work").rglob("*.txt"))


def test_an_archive_is_unpacked_from_a_stored_file(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("a/b.txt")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"one"))
    (tmp_path / "blob").write_bytes(packed.getvalue())
    folder = put(tmp_path, source(packed.getvalue(), path=str(tmp_path / "blob")), "archive")
    assert (folder / "a/b.txt").read_bytes() == b"one"
