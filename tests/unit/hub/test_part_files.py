"""Uploads in parts: hashed while they arrive in order, read again where they did not, and never changed once verified."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pearlstreet.base.errors import Conflict
from pearlstreet.hubapi import part_files
from pearlstreet.hubapi.part_files import PartHashes, absent_parts, open_part, publish
from pearlstreet.objects.model import Blob

PART = 1000
CONTENT = os.urandom(2 * PART + 300)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def send(hashes: PartHashes, file: Path, number: int, content: bytes = CONTENT) -> None:
    with open_part(hashes, file, number, PART) as part:
        data = content[(number - 1) * PART : number * PART]
        part.write(data[:400])
        part.write(data[400:])


def finish(hashes: PartHashes, file: Path) -> tuple[str, list[Blob]]:
    kept: list[Blob] = []

    def keep(path: Path, blob: Blob) -> None:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == blob.sha256, "unverified bytes are published"
        kept.append(blob)

    return publish(hashes, file, len(CONTENT), PART, keep, SHA256), kept


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (1, 3, 2), (1, 2, 2, 3), (2, 1, 2, 3), (1, 2, 3, 1)])
def test_parts_in_every_order_make_the_file(tmp_path: Path, order: tuple[int, ...]) -> None:
    hashes, file = PartHashes(), tmp_path / "upload"
    for number in order:
        send(hashes, file, number)
    assert absent_parts(file, 4) == [4]
    assert finish(hashes, file) == (SHA256, [Blob(SHA256, len(CONTENT))])
    assert not list(tmp_path.iterdir())


def test_parts_in_order_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, file = PartHashes(), tmp_path / "upload"
    for number in (1, 2, 3):
        send(hashes, file, number)
    reads: list[int] = []
    monkeypatch.setattr(part_files.os, "pread", lambda *at: reads.append(at[2]) or b"")
    assert finish(hashes, file)[0] == SHA256 and not reads


def test_a_restart_reads_all_parts_again(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    send(PartHashes(), file, 1)
    after = PartHashes()
    for number in (2, 3):
        send(after, file, number)
    assert finish(after, file)[0] == SHA256


def test_bytes_that_change_after_they_were_hashed_are_not_trusted(tmp_path: Path) -> None:
    hashes, file = PartHashes(), tmp_path / "upload"
    for number in (1, 2, 3):
        send(hashes, file, number)
    send(hashes, file, 2, bytes(len(CONTENT)))
    found, kept = finish(hashes, file)
    assert found != SHA256 and not kept
    send(hashes, file, 2)
    assert finish(hashes, file)[1], "only the wrong part is sent again"


def test_a_broken_resend_makes_the_part_absent_and_untrusted(tmp_path: Path) -> None:
    hashes, file = PartHashes(), tmp_path / "upload"
    for number in (1, 2, 3):
        send(hashes, file, number)
    with pytest.raises(ValueError, match="cut"), open_part(hashes, file, 1, PART) as part:
        part.write(b"other")
        raise ValueError("cut")
    assert absent_parts(file, 3) == [1]
    found, kept = finish(hashes, file)
    assert found != SHA256 and not kept


def test_no_part_is_written_while_the_file_is_published(tmp_path: Path) -> None:
    hashes, file = PartHashes(), tmp_path / "upload"
    for number in (1, 2, 3):
        send(hashes, file, number)
    with open_part(hashes, file, 2, PART) as part:
        part.write(CONTENT[PART : 2 * PART])
        with pytest.raises(Conflict):
            finish(hashes, file)

    def keep(path: Path, blob: Blob) -> None:
        with pytest.raises(Conflict), open_part(hashes, path, 1, PART):
            raise AssertionError("a part is written into a file that is being published")
        path.rename(tmp_path / "kept")

    assert publish(hashes, file, len(CONTENT), PART, keep, SHA256) == SHA256
    assert (tmp_path / "kept").read_bytes() == CONTENT
