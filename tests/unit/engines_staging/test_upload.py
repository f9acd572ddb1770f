"""Files that jobs left become blobs: whole, under their digest, and out of the reach of those who wrote them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.engines_staging.kit import IS_ROOT, Left, content, sha256

from pearlstreet.compute.engines.staging.model import FileRequest
from pearlstreet.compute.engines.staging.runner import folder_upload


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can take a file away from its user")


def test_files_are_stored_under_their_digests(left: Left) -> None:
    data = {"a.txt": b"", "d/e/weights": content(3_000_000), "d/seed": b"7"}
    for path, value in data.items():
        left.write(path, value)
    result = left.put(*data)
    assert result.again is None
    for file in result.files:
        assert file.problem is None and file.sha256 == sha256(data[file.path])
        assert left.blob(file.sha256) == data[file.path]
    assert list((left.blobs.upload_folder() / "tmp").iterdir()) == []


@needs_root
def test_a_file_that_nobody_else_can_write_is_linked_and_taken_from_its_user(left: Left) -> None:
    place = left.write("weights", content(2_000_000))
    os.utime(place, (1, 1))
    (file,) = left.put("weights").files
    blob = left.blobs.path(file.sha256)
    assert blob.stat().st_ino == place.stat().st_ino, "no second copy on the disk"
    assert (blob.stat().st_uid, blob.stat().st_mode & 0o777) == (0, 0o600)
    assert blob.stat().st_mtime > 1e9, "its age decides when garbage collection may take it"


@needs_root
@pytest.mark.parametrize("hold", ["second name", "open writer", "mapped"])
def test_a_file_that_somebody_may_still_write_is_copied(left: Left, tmp_path: Path, hold: str) -> None:
    data = content(1_500_000)
    place = left.write("weights", data)
    if hold == "second name":
        os.link(place, tmp_path / "kept-for-later")
        writer = os.open(tmp_path / "kept-for-later", os.O_RDONLY)
    else:
        writer = os.open(place, os.O_RDWR)
    (file,) = left.put("weights").files
    if hold == "second name":
        (tmp_path / "kept-for-later").write_bytes(b"other bytes")
    elif hold == "mapped":
        import mmap

        with mmap.mmap(writer, 0) as memory:
            memory[:5] = b"other"
    else:
        os.pwrite(writer, b"other bytes", 0)
    os.close(writer)
    assert left.blob(file.sha256) == data, "a blob never changes"


def test_a_sparse_file_stays_sparse(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_upload, "_seal", lambda _handle: False)
    place = left.write("sparse", b"head")
    with place.open("r+b") as file:
        file.truncate(64 << 20)
    (stored,) = left.put("sparse").files
    blob = left.blobs.path(stored.sha256)
    assert blob.stat().st_size == 64 << 20 and blob.stat().st_blocks * 512 < 4 << 20


def test_no_more_is_stored_than_was_listed(left: Left) -> None:
    left.write("log", b"x" * 100)
    result = left.run(left.task("put", [FileRequest("log", 60)]))
    assert [(file.size_bytes, file.sha256) for file in result.files] == [(60, sha256(b"x" * 60))]


def test_a_file_that_is_gone_costs_only_itself(left: Left) -> None:
    left.write("b", b"b")
    result = left.run(left.task("put", [FileRequest("a", 1), FileRequest("b", 1)]))
    gone, there = result.files
    assert result.again is None and gone.problem is not None and there.problem is None


def test_other_bytes_than_expected_are_not_stored(left: Left) -> None:
    left.write("a", b"changed")
    result = left.run(left.task("put", [FileRequest("a", 7, sha256(b"listed!"))]))
    assert "changed" in str(result.files[0].problem)
    assert not list(left.blobs.upload_folder().glob("??/*"))


def test_a_full_disk_is_no_fault_of_the_file(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_upload, "FREE_BYTES_MIN", 1 << 60)
    monkeypatch.setattr(folder_upload, "_seal", lambda _handle: False)
    left.write("a", b"abc")
    result = left.put("a")
    assert "nearly full" in str(result.again) and result.files == ()


def test_storing_again_changes_nothing(left: Left) -> None:
    left.write("a", content(100_000))
    first, again = left.put("a"), left.put("a")
    assert first.files == again.files
    assert left.blob(first.files[0].sha256) == content(100_000)
