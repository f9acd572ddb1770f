"""Files beneath a folder, whatever links a tenant's program leaves there; writes that survive."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from pearlstreet.base.errors import InvalidInput, NotFound, TooLarge
from pearlstreet.base.rng import SeededRng
from pearlstreet.store.files import copy_limited, create_beneath, open_beneath, write_atomic


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file in it, and a secret beside it."""
    inside = tmp_path / "root"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "b" / "c.txt").write_bytes(b"fine")
    (tmp_path / "secret").write_bytes(b"secret")
    return inside


def test_a_file_beneath_is_read(root: Path) -> None:
    with open_beneath(root, "a/b/c.txt") as file:
        assert file.read() == b"fine"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "%2e%2e/secret"])
def test_a_name_that_leaves_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        open_beneath(root, name)


def test_links_are_never_followed_wherever_they_stand(root: Path) -> None:
    (root / "file").symlink_to("../secret")
    (root / "folder").symlink_to("..")
    (root / "inner").symlink_to("a")
    for name in ("file", "folder/secret", "inner/b/c.txt"):
        with pytest.raises(NotFound):
            open_beneath(root, name)
    for name in ("file", "folder/new", "inner/new"):
        with pytest.raises((NotFound, FileExistsError)):
            create_beneath(root, name)
    assert sorted(path.name for path in root.parent.iterdir()) == ["root", "secret"]
    assert (root.parent / "secret").read_bytes() == b"secret"


def test_what_is_no_file_is_not_opened_and_never_blocks(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for name in ("pipe", "a", "absent", "a/b/c.txt/d", "."):
        with pytest.raises(NotFound):
            open_beneath(root, name)


def test_a_new_file_gets_its_folders_and_never_overwrites(root: Path) -> None:
    with create_beneath(root, "x/y/z.bin") as file:
        file.write(b"1")
    assert (root / "x" / "y" / "z.bin").read_bytes() == b"1"
    assert (root / "x" / "y" / "z.bin").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        create_beneath(root, "x/y/z.bin")


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        open_beneath(root, "a/b/c.txt").close()
        with pytest.raises(NotFound):
            open_beneath(root, "a/b/none")
        with pytest.raises(NotFound):
            open_beneath(root, "a/b")
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_atomic_write_replaces_whole_and_leaves_nothing_behind(root: Path) -> None:
    target = root / "settings.json"
    for data in (b"first", b"second"):
        write_atomic(target, data, SeededRng(1))
        assert target.read_bytes() == data
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(NotFound):
        write_atomic(root / "no" / "folder", b"x", SeededRng(1))


def test_a_full_disk_is_told_as_such_and_keeps_the_old_content(root: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    from pearlstreet.base.errors import Unavailable

    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(Unavailable, match="disk is full"):
        copy_limited(io.BytesIO(b"x" * 10), full, 100)  # type: ignore[arg-type]


def test_a_stream_beyond_its_limit_is_refused(root: Path) -> None:
    with create_beneath(root, "big") as file, pytest.raises(TooLarge):
        copy_limited(io.BytesIO(b"x" * 101), file, 100)
    with create_beneath(root, "exact") as file:
        assert copy_limited(io.BytesIO(b"x" * 100), file, 100) == 100
