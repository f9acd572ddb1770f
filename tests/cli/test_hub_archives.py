"""Archives of the hub: a tar in and out, a history out and in again, and archives that are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.base.errors import InvalidInput, TooLarge
from pearlstreet.client import hub_archives
from pearlstreet.client.hub_archives import read_tar
from tests.cli.center import Center, Pearl, a_center, a_tenant


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with a_center(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.fixture(scope="module")
def ann(here: Center) -> Pearl:
    return a_tenant(here, "studio", "ann")


def write_tar(place: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(place, "w:gz" if place.name.endswith("gz") else "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return place


def log(ann: Pearl, repo: str) -> list[dict[str, Any]]:
    return ann.right("hub", "log", repo, "--json").rows


def test_a_tar_goes_in_and_comes_out(ann: Pearl, tmp_path: Path) -> None:
    weights = os.urandom(3 << 20)
    source = write_tar(tmp_path / "a.tar.gz", ("./README.md", b"# Tiny\n"), ("deep/weights.bin", weights))
    ann.right("hub", "import", "datasets/studio/packed", str(source), "--create", "--into", "v1", "--quiet")
    assert log(ann, "datasets/studio/packed")[0]["title"] == "Import a.tar.gz"
    ann.right("hub", "export", "datasets/studio/packed", str(tmp_path / "out.tar"))
    with tarfile.open(tmp_path / "out.tar") as archive:
        found = {member.name: file.read() for member in archive if (file := archive.extractfile(member))}
    assert found == {"v1/README.md": b"# Tiny\n", "v1/deep/weights.bin": weights}
    ann.right("hub", "export", "datasets/studio/packed", str(tmp_path / "folder"), "--quiet")
    assert (tmp_path / "folder/v1/deep/weights.bin").read_bytes() == weights


def test_a_history_goes_out_and_in_again(ann: Pearl, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "README.md").write_text("---\nlicense: mit\n---\n# One\n")
    (source / "w.bin").write_bytes(os.urandom(2 << 20))
    ann.right("hub", "upload", "studio/origin", str(source), "--create", "-m", "One")
    ann.right("hub", "tag", "studio/origin", "v1", "-m", "first")
    ann.right("hub", "branch", "studio/origin", "side/line")
    (source / "w.bin").write_bytes(b"\0 two")
    ann.right("hub", "upload", "studio/origin", str(source), "-m", "Two")
    ann.right(
        "hub", "upload", "studio/origin@side/line", str(source / "README.md"), "--into", "x", "-m", "Side"
    )
    ann.right("hub", "export", "studio/origin", str(tmp_path / "h.tar"), "--history", "--quiet")

    ann.right("hub", "import", "studio/copy", str(tmp_path / "h.tar"), "--history", "--create", "--quiet")
    for branch in ("main", "side/line", "v1"):
        before, after = (log(ann, f"studio/{name}@{branch}") for name in ("origin", "copy"))
        said = ("number", "title", "message", "author", "at", "files", "size_bytes")
        assert [[one[name] for name in said] for one in before] == [
            [one[name] for name in said] for one in after
        ]
        files = [
            ann.right("hub", "files", f"studio/{n}@{branch}", "-r", "--json").rows for n in ("origin", "copy")
        ]
        assert files[0] == files[1]
    view = ann.right("hub", "show", "studio/copy", "--json").value
    assert view["repository"]["tags"] == ["license:mit"]
    assert [(ref["kind"], ref["name"], ref["message"]) for ref in view["refs"]] == [
        ("branch", "main", ""),
        ("branch", "side/line", ""),
        ("tag", "v1", "first"),
    ]
    assert not view["commit"]["made_by_job"]
    ann.right("hub", "download", "studio/copy@v1", "--to", str(tmp_path / "v1"))
    assert len((tmp_path / "v1/w.bin").read_bytes()) == 2 << 20

    again = ann("hub", "import", "studio/copy", str(tmp_path / "h.tar"), "--history", "--quiet")
    assert again.code and "has commits already" in again.err
    ann.right("hub", "upload", "studio/copy", str(source), "-m", "Three")
    assert log(ann, "studio/copy")[0]["number"] == 5


def test_a_history_with_wrong_bytes_changes_nothing(ann: Pearl, tmp_path: Path) -> None:
    ann.right("hub", "create", "studio/empty")
    digest = hashlib.sha256(b"right").hexdigest()
    commit = {"id": "a", "title": "A", "message": "", "author": "x", "at": "2026-01-01T00:00:00Z"}
    large = {"key": "lfsFile", "value": {"path": "w", "oid": digest, "size": 5}}
    main = {"key": "ref", "value": {"kind": "branch", "name": "main", "commit": "a"}}
    first = [{"key": "history", "value": {"version": 1}}, {"key": "commit", "value": commit}]

    def packed(lines: list[Any], *members: tuple[str, bytes]) -> Path:
        content = "\n".join(map(json.dumps, lines)).encode()
        return write_tar(
            tmp_path / f"{len(list(tmp_path.iterdir()))}.tar", ("history.ndjson", content), *members
        )

    orphan = {"key": "commit", "value": {**commit, "id": "b", "parent": "absent"}}
    for words, place in (
        ("other bytes", packed([*first, large, main], (f"blobs/{digest}", b"wrong"))),
        ("not uploaded", packed([*first, large, main])),
        ("no branch main", packed(first)),
        ("before its parent", packed([*first, orphan, main])),
        ("not part of", packed([*first, main], ("other", b""))),
    ):
        answer = ann("hub", "import", "studio/empty", str(place), "--history", "--quiet")
        assert answer.code and words in answer.err, answer
    assert len(log(ann, "studio/empty")) == 1


def test_archives_that_would_leave_the_folder_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "/etc/passwd", "a/../../b", "a\\..\\b", "CON", "a//b"):
        with pytest.raises(InvalidInput):
            list(read_tar(write_tar(tmp_path / "bad.tar", (name, b"x"))))
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        info = tarfile.TarInfo("w.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(InvalidInput, match="link"):
        list(read_tar(tmp_path / "link.tar"))
    with pytest.raises(InvalidInput, match="twice"):
        list(read_tar(write_tar(tmp_path / "twice.tar", ("a", b"x"), ("a", b"y"))))
    whole = write_tar(tmp_path / "cut.tar", ("a", bytes(9000))).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:2000])
    with pytest.raises(InvalidInput, match="whole"):
        [content.read(1 << 20) for _, content in read_tar(tmp_path / "cut.tar")]
    (tmp_path / "none.tar").write_bytes(b"no archive at all" * 100)
    with pytest.raises(InvalidInput, match="whole"):
        list(read_tar(tmp_path / "none.tar"))


def test_an_archive_that_expands_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_archives, "EXPANSION_FREE_BYTES", 1 << 20)
    place = write_tar(tmp_path / "bomb.tar.gz", ("zeros", bytes(40 << 20)))
    with pytest.raises(TooLarge):
        for _, content in read_tar(place):
            while content.read(1 << 20):
                pass
    # A header that claims to be long would be read into memory at once.
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "header.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(4 << 20)))
    with pytest.raises(InvalidInput, match="too long"):
        list(read_tar(tmp_path / "header.tar.gz"))
