"""A backup taken while the center works brings back exactly what was, or says why it cannot."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import KEY, make_store
from tests.store.things import add, ids, things, with_things

from pearlstreet.base.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from pearlstreet.base.rng import SystemRng
from pearlstreet.store import audit
from pearlstreet.store.backup import backup, restore
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.restore import MANIFEST
from pearlstreet.store.sealing import Sealer, SealingKey

FOLDERS = ("uploads", "artefacts")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "uploads" / "org_1").mkdir(parents=True)
    (folder / "artefacts").mkdir()
    (folder / "secret").mkdir()
    (folder / "uploads" / "org_1" / "训练.csv").write_bytes(b"a,b\n1,2\n" * 1000)
    (folder / "artefacts" / "model.bin").write_bytes(os.urandom(100_000))
    (folder / "artefacts" / "empty").write_bytes(b"")
    (folder / "secret" / "key").write_text(KEY.to_text())
    return folder


@pytest.fixture
def center(data: Path) -> Iterator[Store]:
    store = with_things(make_store(f"sqlite:///{data}/pearl.db"))
    store.write(lambda tx: [add(tx, f"t{n:03d}") for n in range(300)])
    store.write(lambda tx: audit.record(tx, actor="a", action="b", target="c"))
    yield store
    store.close()


def _backup(center: Store, data: Path, name: str = "b.tar.gz", *, with_key: bool = False) -> Path:
    target = data.parent / name
    backup(center, data, target, folders=FOLDERS, key_file=data / "secret" / "key", with_key=with_key)
    return target


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("pearl.db")
    }


@pytest.mark.parametrize("place", ["absent", "empty"])
def test_what_comes_back_is_what_was(center: Store, data: Path, tmp_path: Path, place: str) -> None:
    file = _backup(center, data)
    center.write(lambda tx: add(tx, "after the backup"))
    target = tmp_path / "new"
    if place == "empty":
        target.mkdir()
    report = restore(file, target, sealer=center.sealer)
    assert report.signed
    original = _files(data)
    del original["secret/key"]
    assert _files(target) == original
    back = replace(center, database=Database(f"sqlite:///{target}/pearl.db"))
    assert ids(back) == [f"t{n:03d}" for n in range(300)]
    assert back.read(audit.verify).problem is None
    back.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "data", "new"], (
        "nothing left lying"
    )
    assert file.stat().st_mode & 0o077 == 0


def test_the_key_is_inside_only_when_asked_for(center: Store, data: Path, tmp_path: Path) -> None:
    everything = (*FOLDERS, "secret")
    target = tmp_path / "no-key.tar.gz"
    backup(center, data, target, folders=everything, key_file=data / "secret" / "key")
    with tarfile.open(target) as tar:
        assert not [name for name in tar.getnames() if "secret" in name]
    restore(_backup(center, data, with_key=True), tmp_path / "with")
    assert (tmp_path / "with" / "secret" / "key").read_text() == KEY.to_text()
    assert (tmp_path / "with" / "secret" / "key").stat().st_mode & 0o077 == 0


def test_a_backup_under_load_holds_whole_commands(center: Store, data: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            center.write(lambda tx, n=number: (add(tx, f"p{n:06d}-a"), add(tx, f"p{n:06d}-b")))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        files = [_backup(center, data, f"{n}.tar.gz") for n in range(4)]
    finally:
        stop.set()
        writer.join()
    for number, file in enumerate(files):
        target = tmp_path / f"back{number}"
        restore(file, target)
        back = Store(Database(f"sqlite:///{target}/pearl.db"))
        names = [name for name in ids(back) if name.startswith("p")]
        back.close()
        assert {name[:-2] for name in names if name.endswith("a")} == {
            name[:-2] for name in names if name.endswith("b")
        }


def test_links_are_left_out_and_named(center: Store, data: Path, tmp_path: Path) -> None:
    (data / "artefacts" / "passwords").symlink_to("/etc/passwd")
    (data / "artefacts" / "etc").symlink_to("/etc")
    os.mkfifo(data / "artefacts" / "pipe")
    target = tmp_path / "b.tar.gz"
    report = backup(center, data, target, folders=FOLDERS)
    assert sorted(report.left_out) == ["artefacts/etc", "artefacts/passwords", "artefacts/pipe"]
    with tarfile.open(target) as tar:
        assert all(member.isreg() for member in tar)


def test_only_an_empty_place_is_restored_into(center: Store, data: Path, tmp_path: Path) -> None:
    file = _backup(center, data)
    before = _files(data)
    with pytest.raises(Conflict, match="not empty"):
        restore(file, data)
    assert _files(data) == before


def _cut(content: bytes, at: float) -> bytes:
    return content[: int(len(content) * at)]


def _repack(
    file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]
) -> None:
    """Write the archive anew with some members changed or left out, as one who tampers would."""
    members = []
    with tarfile.open(file) as tar:
        for info in tar:
            content = tar.extractfile(info)
            assert content is not None
            members.append(change(info, content.read()))
    with tarfile.open(file, "w:gz") as tar:
        for member in members:
            if member is not None:
                info, body = member
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))


def _refused(file: Path, tmp_path: Path, words: str, sealer: Sealer | None = None) -> None:
    with pytest.raises(InvalidInput, match=words):
        restore(file, tmp_path / "new", sealer=sealer)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".restore-*"))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("at", [0.0, 0.001, 0.2, 0.5, 0.9, 0.999])
def test_a_cut_off_file_is_refused(center: Store, data: Path, tmp_path: Path, at: float) -> None:
    file = _backup(center, data)
    file.write_bytes(_cut(file.read_bytes(), at))
    _refused(file, tmp_path, "cannot be restored")


@pytest.mark.parametrize(
    "content", [b"", b"hello", gzip.compress(b"hello", mtime=0), b"\x1f\x8b" + b"\0" * 100]
)
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "b.tar.gz"
    file.write_bytes(content)
    _refused(file, tmp_path, "cannot be restored")


def test_flipped_bits_in_what_is_kept_are_noticed(center: Store, data: Path, tmp_path: Path) -> None:
    """A flip is refused, unless it hit what no file is made of (padding, a time): then every file is as it was."""
    file = _backup(center, data)
    good = file.read_bytes()
    wanted = sorted((p.name, p.read_bytes()) for p in (data / "artefacts").rglob("*") if p.is_file())
    refused = 0
    places = list(range(20, len(good) - 2000, len(good) // 25))
    for at in places:
        file.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        target = tmp_path / f"at-{at}"
        try:
            restore(file, target)
        except InvalidInput:
            refused += 1
            continue
        kept = sorted((p.name, p.read_bytes()) for p in (target / "artefacts").rglob("*") if p.is_file())
        assert kept == wanted
    assert refused >= len(places) * 3 // 4


def test_a_changed_member_is_named(center: Store, data: Path, tmp_path: Path) -> None:
    file = _backup(center, data)
    _repack(file, lambda info, body: (info, body + b"x" if info.name == "artefacts/model.bin" else body))
    _refused(file, tmp_path, "artefacts/model.bin is missing or was changed")


def test_a_missing_member_is_named(center: Store, data: Path, tmp_path: Path) -> None:
    file = _backup(center, data)
    _repack(file, lambda info, body: None if info.name == "artefacts/empty" else (info, body))
    _refused(file, tmp_path, "artefacts/empty is missing")


def test_a_list_of_contents_written_anew_fails_its_signature(
    center: Store, data: Path, tmp_path: Path
) -> None:
    file = _backup(center, data)

    def forge(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name != MANIFEST:
            return info, body
        manifest = json.loads(body)
        manifest["made_at_us"] += 1
        return info, json.dumps(manifest).encode()

    _repack(file, forge)
    _refused(file, tmp_path, "signature", center.sealer)
    _refused(_backup(center, data), tmp_path, "signature", Sealer((SealingKey(bytes(32)),), SystemRng()))


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "uploads/../../evil", ".."])
def test_no_member_leaves_the_folder(center: Store, data: Path, tmp_path: Path, name: str) -> None:
    file = _backup(center, data)

    def rename(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "artefacts/empty":
            info.name = name
        return info, body

    _repack(file, rename)
    _refused(file, tmp_path, "which does not belong to a backup")


def test_no_member_is_a_link(center: Store, data: Path, tmp_path: Path) -> None:
    file = _backup(center, data)

    def link(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "artefacts/empty":
            info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        return info, body

    _repack(file, link)
    _refused(file, tmp_path, "which does not belong to a backup")


def test_a_target_that_cannot_be_written_leaves_nothing(center: Store, data: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "folder.tar.gz"
    (blocked / "inside").mkdir(parents=True)
    with pytest.raises(Unavailable, match="cannot be written"):
        backup(center, data, blocked, folders=FOLDERS)
    with pytest.raises(Unavailable, match="cannot be written"):
        backup(center, data, tmp_path / "absent" / "b.tar.gz", folders=FOLDERS)
    assert not list(tmp_path.glob("*.part"))


def test_a_target_below_a_file_is_refused_with_a_message(center: Store, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        backup(center, data, tmp_path / "file" / "b.tar.gz", folders=FOLDERS)


def test_a_damaged_database_is_not_backed_up_as_if_it_were_whole(
    center: Store, data: Path, tmp_path: Path
) -> None:
    center.close()
    path = data / "pearl.db"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    broken = replace(center, database=Database(f"sqlite:///{path}"))
    with pytest.raises(ConfigurationError, match="damaged"):
        backup(broken, data, tmp_path / "b.tar.gz", folders=FOLDERS)
    broken.close()
    assert not (tmp_path / "b.tar.gz").exists()


def test_a_postgresql_center_comes_back(postgres_database: str, data: Path, tmp_path: Path) -> None:
    store = with_things(make_store(postgres_database))
    store.write(lambda tx: [add(tx, f"t{n}", value=n) for n in range(5)])
    file = tmp_path / "b.tar.gz"
    backup(store, data, file, folders=FOLDERS)
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        restore(file, tmp_path / "new")
    with pytest.raises(Conflict, match="not empty"):
        restore(file, tmp_path / "new", database=store.database)
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    restore(file, tmp_path / "new", database=store.database, sealer=store.sealer)
    assert store.read(lambda tx: tx.scalar(sa.select(sa.func.sum(things.c.value)))) == 10
    assert (tmp_path / "new" / "artefacts" / "model.bin").read_bytes() == (
        data / "artefacts" / "model.bin"
    ).read_bytes()
    assert not (tmp_path / "new" / "database.pgdump").exists()
    store.close()
