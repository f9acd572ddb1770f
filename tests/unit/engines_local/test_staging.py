"""Putting files in place: whatever an archive or folder holds, nothing lands outside and nothing is followed."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.engines.staging.runner.inputs import InputWriter, Interrupted, StageError, split


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def put(work: Path, source: Path, target: str = ".", kind: str = "archive", budget: int = 1 << 20) -> None:
    writer = InputWriter(str(work), None, budget, lambda: False)
    try:
        writer.put({"source": str(source), "target": target, "kind": kind})
    finally:
        writer.close()


def archive(path: Path, *members: tuple[str, bytes | str], kind: str = "w") -> Path:
    """Members: (name, bytes), (name, "-> target") for a link, (name, "= target") for a hard link."""
    with tarfile.open(path, kind) as tar:  # type: ignore[call-overload]
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type = tarfile.SYMTYPE if content.startswith("->") else tarfile.LNKTYPE
                member.linkname = content[3:] if content.startswith("->") else content[2:]
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_of_every_packing_unpack(work: Path, tmp_path: Path, kind: str) -> None:
    put(
        work,
        archive(
            tmp_path / "a", ("a/b.txt", b"one"), ("link", "-> a/b.txt"), ("same", "= a/b.txt"), kind=kind
        ),
    )
    assert (
        (work / "a/b.txt").read_bytes()
        == (work / "link").read_bytes()
        == (work / "same").read_bytes()
        == b"one"
    )


@pytest.mark.parametrize(
    "members",
    [
        [("../escaped", b"x")],
        [("/escaped", b"x")],
        [("a/../../escaped", b"x")],
        [("link", "-> ../.."), ("link/escaped", b"x")],
        [("link", "-> /tmp"), ("link/escaped", b"x")],
        [("a", "-> b"), ("b", "-> .."), ("a/escaped", b"x")],
        [("escaped", "= ../secret")],
        [("escaped", "= /etc/hostname")],
        [("folder/link", "-> ../../secret")],
    ],
)
def test_an_archive_cannot_reach_outside(
    work: Path, tmp_path: Path, members: list[tuple[str, bytes | str]]
) -> None:
    (tmp_path / "secret").write_text("secret")
    before = sorted(path.name for path in tmp_path.iterdir() if path.name != "evil.tar")
    with pytest.raises(StageError):
        put(work, archive(tmp_path / "evil.tar", *members))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "evil.tar") == before
    assert not Path("/tmp/escaped").exists()


def test_a_device_in_an_archive_is_refused(work: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo("null")
        member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 3
        tar.addfile(member)
    with pytest.raises(StageError):
        put(work, tmp_path / "evil.tar")


def test_rights_of_other_users_are_not_taken_over(work: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("run")
        member.mode, member.uid = 0o6777, 0
        tar.addfile(member)
    put(work, tmp_path / "a.tar")
    assert (work / "run").stat().st_mode & 0o7777 == 0o755


def test_an_archive_that_grows_beyond_the_limit_is_stopped(work: Path, tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.tar.gz", ("zeros", b"\0" * (64 << 20)), kind="w:gz")
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(StageError, match="disk limit"):
        put(work, bomb, budget=4 << 20)
    assert (work / "zeros").stat().st_size <= 5 << 20


@given(st.binary(max_size=2000))
def test_any_bytes_are_an_archive_or_an_error(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        work, source = Path(name, "work"), Path(name, "archive")
        work.mkdir()
        source.write_bytes(raw)
        with contextlib.suppress(StageError):
            put(work, source)
        assert sorted(os.listdir(name)) == ["archive", "work"]


@pytest.mark.parametrize("kind", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("cut", [10, 60, 150])
def test_a_torn_archive_is_an_error(work: Path, tmp_path: Path, kind: str, cut: int) -> None:
    whole = archive(tmp_path / "a", ("a", os.urandom(5000)), kind=kind)
    whole.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(StageError):
        put(work, whole)


def test_folders_are_copied_with_their_links_as_they_are(work: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "run.sh").write_text("x")
    (source / "sub" / "run.sh").chmod(0o700)
    (source / "out").symlink_to("/etc/hostname")
    os.mkfifo(source / "pipe")
    put(work, source, "here", "folder")
    assert (work / "here/sub/run.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(work / "here/out") == "/etc/hostname"
    assert sorted(os.listdir(work / "here")) == ["out", "sub"]
    put(work, source / "sub/run.sh", "here/out", "file")
    assert (work / "here/out").read_text() == "x"
    assert Path("/etc/hostname").read_text() != "x"


def test_a_source_that_is_a_link_is_not_followed(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic"):
        put(work, tmp_path / "link", "x", "file")


def test_an_interruption_stops_at_once(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    writer = InputWriter(str(work), None, 1 << 20, lambda: True)
    with pytest.raises(Interrupted):
        writer.put({"source": str(tmp_path / "file"), "target": "x", "kind": "file"})
    writer.close()


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "c d"]), max_size=8), st.booleans())
def test_a_path_that_passes_stays_inside(parts: list[str], climb: bool) -> None:
    path = "/".join(parts)
    try:
        found = split(path, climb=climb)
    except StageError:
        return
    inside = os.path.normpath(os.path.join("/work", *found))
    assert inside == "/work" or inside.startswith("/work/")
    assert ".." not in found
