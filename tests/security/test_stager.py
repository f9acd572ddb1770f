"""A hostile job cannot make the stager read or write a file outside its folder, whatever it leaves and however it changes it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pearlstreet.compute.engines.staging.model import FileRequest, StagerResult
from pearlstreet.compute.engines.staging.runner import checkpoint
from pearlstreet.compute.engines.staging.runner.inputs import StageError
from tests.security.yard import KEPT, MARK, REFUSED, Yard, some
from tests.unit.engines_staging.kit import IS_ROOT, Left, sha256

SECRET = "secret of the server"
RACE_S = 1.0


@pytest.fixture
def left(tmp_path: Path) -> Left:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault/a").write_text(SECRET)
    return Left(tmp_path)


def took_nothing(left: Left) -> None:
    """No blob holds the secret, and the secret is as it was."""
    for blob in left.blobs.upload_folder().glob("??/*"):
        assert SECRET.encode() not in blob.read_bytes(), blob
    for path in ("secret", "vault/a"):
        place = left.root.parent / path
        assert place.read_text() == SECRET and place.stat().st_nlink == 1
        assert place.stat().st_uid == os.geteuid()


def make_link(left: Left) -> None:
    (left.root / "a").symlink_to(left.root.parent / "secret")


def make_folder_link(left: Left) -> None:
    (left.root / "d").symlink_to(left.root.parent / "vault")


def make_self_link(left: Left) -> None:
    (left.root / "a").symlink_to("/proc/self/environ")


def make_loop(left: Left) -> None:
    (left.root / "a").symlink_to("a")


def make_fifo(left: Left) -> None:
    os.mkfifo(left.root / "a")


def make_socket(left: Left) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left.root / "a"))


def make_folder(left: Left) -> None:
    (left.root / "a").mkdir()


@pytest.mark.parametrize(
    "trap", [make_link, make_folder_link, make_self_link, make_loop, make_fifo, make_socket, make_folder]
)
@pytest.mark.parametrize("action", ["hash", "put", "save"])
def test_traps_are_not_entered(left: Left, trap: Callable[[Left], None], action: str) -> None:
    trap(left)
    left.write("good", b"good")
    began_s = time.monotonic()
    wanted = [FileRequest(path, 100) for path in ("a", "d/a", "good")]
    result = left.run(left.task(action, wanted, is_checkpoint=action == "save"))
    assert time.monotonic() - began_s < 5, "it waits for nobody"
    assert result.again is None
    read = {file.path for file in result.files if file.sha256}
    assert read == {"good"}
    took_nothing(left)


@pytest.mark.parametrize("action", ["hash", "put", "save"])
def test_a_path_that_changes_under_the_stager_leads_nowhere_else(left: Left, action: str) -> None:
    """A folder and a file that are replaced by links and back, as fast as possible, while the stager reads."""
    (left.root / "d").mkdir()
    (left.root / "d/a").write_text("harmless")
    (left.root / "a").write_text("harmless")
    vault, secret = left.root.parent / "vault", left.root.parent / "secret"
    over = threading.Event()

    def change() -> None:
        link, spare = left.root / ".l", left.root / ".s"
        while not over.is_set():
            with contextlib.suppress(OSError):
                link.symlink_to(vault)
                (left.root / "d").rename(spare)
                link.rename(left.root / "d")
                (left.root / "d").unlink()
                spare.rename(left.root / "d")
                link.symlink_to(secret)
                link.rename(left.root / "a")
                spare.write_text("harmless")
                spare.rename(left.root / "a")

    racer = threading.Thread(target=change)
    racer.start()
    tries, ends_s = 0, time.monotonic() + RACE_S
    try:
        while time.monotonic() < ends_s:
            wanted = [FileRequest("d/a", 100), FileRequest("a", 100)]
            result = left.run(left.task(action, wanted, is_checkpoint=action == "save"))
            assert all(file.sha256 in ("", sha256(b"harmless"), sha256(b"")) for file in result.files), result
            tries += 1
    finally:
        over.set()
        racer.join()
    assert tries > 3
    took_nothing(left)


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    """Every name of the corpus, as the path of an output that a manifest or listing claims."""
    yard = Yard(tmp_path / "yard")
    (tmp_path / "other").mkdir()
    left = Left(tmp_path / "other")
    left.root.rmdir()
    left.root = yard.inside
    for name in some(REFUSED + KEPT, 2):
        result = left.run(left.task("put", [FileRequest(name, 1000)]))
        assert all(file.problem is not None for file in result.files), name
        yard.check(name)
    for blob in left.blobs.upload_folder().glob("??/*"):
        assert MARK.encode() not in blob.read_bytes()


def test_a_checkpoint_is_restored_inside_only(tmp_path: Path) -> None:
    """Even from a manifest that nobody checked: the runner opens every folder itself and follows no link."""
    yard = Yard(tmp_path / "yard")
    blob = tmp_path / "blob"
    blob.write_bytes(b"evil")
    source = {"sha256": sha256(b"evil"), "size_bytes": 4, "path": str(blob), "url": ""}
    file = {"kind": "file", "executable": False, "target": "", "sha256": sha256(b"evil"), "size_bytes": 4}
    scratch = yard.inside / "scratch"
    scratch.mkdir()
    for number, name in enumerate(some(REFUSED + KEPT, 3)):
        target = yard.inside / f"checkpoint{number % 3}"
        up = {"path": "up", "kind": "link", "executable": False, "target": str(yard.root)}
        lines = [
            up,
            {**file, "path": name, "source": source},
            {**file, "path": f"up/{name}", "source": source},
        ]
        with contextlib.suppress(StageError, OSError, ValueError):
            checkpoint.restore(str(target), str(scratch), lines, None, 1 << 20, lambda: False)
        yard.check(name)


def test_a_huge_sparse_file_costs_its_listing_only(left: Left) -> None:
    place = left.write("sparse", b"x")
    os.truncate(place, 1 << 42)
    result: StagerResult = left.run(left.task("put", [FileRequest("sparse", 1 << 20)]))
    assert result.files[0].size_bytes == 1 << 20, "no more is read than the center asked for"
    assert "larger" in str(left.save(bytes_max=1 << 30).problem)


@pytest.mark.skipif(not IS_ROOT, reason="needs files of another user")
def test_a_linked_file_of_the_server_is_not_taken_away(left: Left) -> None:
    """Where hard links to others' files are possible, one has a second name, so it is neither sealed nor linked."""
    with contextlib.suppress(OSError):
        os.link(left.root.parent / "secret", left.root / "a")
    left.put("a")
    assert (left.root.parent / "secret").stat().st_uid == 0
    blobs = list(left.blobs.upload_folder().glob("??/*"))
    assert all(blob.stat().st_ino != (left.root.parent / "secret").stat().st_ino for blob in blobs)


def test_deep_folders_end_the_walk(left: Left) -> None:
    place = os.open(left.root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 100, dir_fd=place)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    left.write("good", b"good")
    result = left.save()
    assert "good" in {file.path for file in result.files}
    shutil.rmtree(left.root)
