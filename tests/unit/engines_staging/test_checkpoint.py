"""A checkpoint folder is saved incrementally and restored as it was, or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engines_staging.kit import Left, content, sha256

from pearlstreet.compute.engines.staging.model import RestoredEntry, StagerResult, restored_json
from pearlstreet.compute.engines.staging.runner import checkpoint
from pearlstreet.compute.engines.staging.runner.inputs import Interrupted
from pearlstreet.objects.model import Blob


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


def lines(left: Left, result: StagerResult) -> list[dict[str, Any]]:
    """What an order would carry of a saved checkpoint."""
    return [
        restored_json(
            RestoredEntry(
                file.path,
                file.kind,
                left.blobs.reference(Blob(file.sha256, file.size_bytes), valid_s=60)
                if file.kind == "file"
                else None,
                file.executable,
                file.link_target,
            )
        )
        for file in result.files
    ]


def restore(left: Left, folder: Path, result: StagerResult, stop: bool = False) -> None:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    checkpoint.restore(str(folder), str(scratch), lines(left, result), None, 1 << 30, lambda: stop)
    assert list(scratch.iterdir()) == []


def tree(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else None
        if path.is_dir()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def test_what_is_in_place_comes_back_and_nothing_half_written(left: Left, tmp_path: Path) -> None:
    left.write("step-1/weights", content(2_000_000))
    (left.root / "step-1/empty").mkdir()
    (left.root / "latest").symlink_to("step-1")
    left.write("run.sh", b"#!/bin/sh\n").chmod(0o755)
    left.write("0/state", b"zero")
    for path in ("next.tmp", "step-2.partial/weights", "0/next.tmp"):
        left.write(path, b"half")
    os.mkfifo(left.root / "fifo")
    result = left.save()
    assert result.again is None and result.problem is None and result.left_out == ()
    restore(left, tmp_path / "elsewhere", result)
    found = tree(tmp_path / "elsewhere")
    assert found == {
        "0": None,
        "0/state": b"zero",
        "latest": "step-1",
        "run.sh": b"#!/bin/sh\n",
        "step-1": None,
        "step-1/empty": None,
        "step-1/weights": content(2_000_000),
    }
    assert os.access(tmp_path / "elsewhere/run.sh", os.X_OK)


def test_unchanged_files_are_neither_read_nor_sent_again(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    left.write("step-1", content(1_000_000, 1))
    assert left.save().sent_bytes == 1_000_000
    left.write("step-2", content(500_000, 2))
    read: list[str] = []
    real = checkpoint.opened
    monkeypatch.setattr(checkpoint, "opened", lambda top, path: (read.append(path), real(top, path))[1])
    second = left.save()
    assert (second.sent_bytes, read) == (500_000, ["step-2"])
    assert [file.path for file in sorted(second.files, key=lambda file: file.path)] == ["step-1", "step-2"]


def test_a_change_behind_the_back_of_size_and_mtime_is_seen(left: Left) -> None:
    place = left.write("state", b"one")
    before = place.stat()
    left.save()
    time.sleep(0.05)
    place.write_bytes(b"two")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    (file,) = left.save().files
    assert file.sha256 == sha256(b"two")


def test_a_blob_that_was_deleted_meanwhile_is_sent_again(left: Left) -> None:
    left.write("state", b"one")
    (file,) = left.save().files
    left.blobs.delete(file.sha256)
    left.save()
    assert left.blob(file.sha256) == b"one"


def test_an_entry_that_changes_while_it_is_read_is_left_out(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.write("busy/log", b"one")
    left.write("busy/other", b"x")
    left.write("calm", b"calm")
    real = checkpoint.BlobFolder.put

    def put(self: Any, handle: int, *values: Any, **more: Any) -> Any:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("busy/log"):
            with (left.root / "busy/log").open("ab") as file:
                file.write(b"more")
        return real(self, handle, *values, **more)

    monkeypatch.setattr(checkpoint.BlobFolder, "put", put)
    result = left.save()
    assert result.left_out == ("busy",)
    assert [file.path for file in result.files] == ["calm"]


def test_limits_are_told_and_nothing_is_kept(left: Left) -> None:
    for number in range(4):
        left.write(f"f{number}", b"xx")
    assert "more than 3 files" in str(left.save(files_max=3).problem)
    assert "larger" in str(left.save(bytes_max=7).problem)
    assert left.save(files_max=4, bytes_max=8).problem is None


def test_names_that_are_no_text_are_left_out(left: Left) -> None:
    left.write("good", b"x")
    Path(os.fsdecode(os.fsencode(left.root) + b"/bad\xff")).write_bytes(b"x")
    result = left.save()
    assert [file.path for file in result.files] == ["good"] and len(result.left_out) == 1


def test_a_restore_that_breaks_off_leaves_the_folder_as_it_was(left: Left, tmp_path: Path) -> None:
    left.write("step-9", content(100_000))
    result = left.save()
    old = tmp_path / "elsewhere"
    old.mkdir()
    (old / "step-1").write_bytes(b"old")
    with pytest.raises(Interrupted):
        restore(left, old, result, stop=True)
    assert tree(old) == {"step-1": b"old"}
    left.blobs.delete(result.files[0].sha256)
    broken = lines_without_blob(result, left)
    with pytest.raises(OSError):
        checkpoint.restore(str(old), str(tmp_path / "scratch"), broken, None, 1 << 30, lambda: False)
    assert tree(old) == {"step-1": b"old"}


def lines_without_blob(result: StagerResult, left: Left) -> list[dict[str, Any]]:
    gone = str(left.blobs.upload_folder() / result.files[0].sha256)
    return [
        {
            "path": file.path,
            "kind": "file",
            "executable": False,
            "target": "",
            "sha256": file.sha256,
            "size_bytes": file.size_bytes,
            "source": {"sha256": file.sha256, "size_bytes": file.size_bytes, "path": gone, "url": ""},
        }
        for file in result.files
    ]


def test_a_restore_takes_what_is_there_and_drops_what_is_not_listed(left: Left, tmp_path: Path) -> None:
    left.write("step-1", content(300_000))
    result = left.save()
    old = tmp_path / "elsewhere"
    old.mkdir()
    (old / "step-1").write_bytes(content(300_000))
    (old / "stale").write_bytes(b"stale")
    inode = (old / "step-1").stat().st_ino
    restore(left, old, result)
    assert list(tree(old)) == ["step-1"] and (old / "step-1").stat().st_ino == inode


def test_damaged_bytes_are_not_restored(left: Left, tmp_path: Path) -> None:
    left.write("step-1", b"right")
    result = left.save()
    left.blobs.path(result.files[0].sha256).write_bytes(b"wrong")
    with pytest.raises(OSError, match="damaged"):
        checkpoint.restore(
            str(tmp_path / "elsewhere"), str(tmp_path), lines(left, result), None, 1 << 30, lambda: False
        )
    assert not (tmp_path / "elsewhere").exists()
