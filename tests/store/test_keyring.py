from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import SeededRng
from pearlstreet.store import audit, idempotency, keyring
from pearlstreet.store.core import Store, must_be_sealed
from pearlstreet.store.sealing import Sealer
from pearlstreet.store.tables import audit_head, metadata

# Fixed: parallel test workers must collect the same names.
NEW_KEY = keyring.new_key_text(SeededRng(7))


@pytest.fixture
def bare(store: Store) -> Store:
    """A store as the program finds it: without a sealer."""
    return replace(store, sealer=None)


def test_the_first_start_makes_a_private_key_file(bare: Store, tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = must(keyring.unlock(bare, path)).seal(b"x", "c")
    assert path.stat().st_mode & 0o777 == 0o600
    assert must(keyring.unlock(bare, path)).open(sealed, "c") == b"x"


def test_a_lost_key_file_stops_the_start_and_is_not_replaced(bare: Store, tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyring.unlock(bare, path)
    content = path.read_text()
    path.unlink()
    with pytest.raises(ConfigurationError, match="missing") as refused:
        keyring.unlock(bare, path)
    assert refused.value.hint is not None and not path.exists()
    with pytest.raises(ConfigurationError, match="differs from the one"):
        keyring.unlock(bare, path, NEW_KEY)
    keyring.unlock(bare, path, content)
    path.write_text(NEW_KEY)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="differs from the one"):
        keyring.unlock(bare, path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_can_read_is_refused(bare: Store, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    keyring.unlock(bare, path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="read by others"):
        keyring.unlock(bare, path)


@pytest.mark.parametrize("content", ["", "   ", "short", "é" * 43, "A" * 44, "\x00" * 64, NEW_KEY + "x"])
def test_what_is_no_key_is_refused(bare: Store, tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        keyring.unlock(bare, path)


def test_links_and_folders_are_no_key_files(bare: Store, tmp_path: Path) -> None:
    keyring.unlock(bare, tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("link", "folder"):
        with pytest.raises(ConfigurationError):
            keyring.unlock(bare, tmp_path / name)


def test_changing_the_key_reseals_everything(bare: Store, tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = keyring.unlock(bare, path)
    old_sealer = must(old)

    def claim() -> idempotency.OnceClaim:
        return idempotency.OnceClaim("who", "key-1", "print", lambda result: str(result).encode())

    old.once(claim()).write(lambda tx: audit.record(tx, actor="a", action="b", target="c"))

    assert keyring.rotate(old, path) == 1
    new = keyring.unlock(bare, path)
    with pytest.raises(idempotency.Replayed):
        new.once(claim()).write(lambda tx: None)
    assert new.read(audit.verify).problem is None
    with pytest.raises(ConfigurationError):
        must(new).open(old_sealer.seal(b"x", "c"), "c")
    lone_old = replace(bare, sealer=old_sealer)
    assert lone_old.read(audit.verify).problem is not None
    assert len(path.read_text().split()) == 1 and path.stat().st_mode & 0o777 == 0o600


def test_a_crash_while_changing_the_key_loses_nothing(
    bare: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    old = keyring.unlock(bare, path)
    sealed = must(old).seal(b"x", "c")
    steps = [keyring.write_key_file, keyring.reseal]
    for step in steps:

        def crash(*args: object, step: object = step) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(keyring, step.__name__, crash)
            with pytest.raises(KeyboardInterrupt):
                keyring.rotate(old, path)
        assert must(keyring.unlock(bare, path)).open(sealed, "c") == b"x"
    keyring.rotate(old, path)
    keyring.unlock(bare, path)


def test_a_cut_audit_log_is_not_signed_anew(bare: Store, tmp_path: Path) -> None:
    path = tmp_path / "key"
    store = keyring.unlock(bare, path)
    store.write(lambda tx: audit.record(tx, actor="a", action="b", target="c"))
    store.write(lambda tx: tx.execute(sa.update(audit_head).values(mac="0" * 64)))
    with pytest.raises(ConfigurationError, match="audit log"):
        keyring.rotate(store, path)


def test_every_sealed_column_is_known_to_the_key_change() -> None:
    """A binary column is either marked as sealed or named here as plain."""
    plain = {"hub_pages.data", "hub_commits.manifest", "hub_contents.segments"}
    binary = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary)
    }
    marked = {f"{table.name}.{column.name}" for table, column, _ in keyring.sealed_columns()}
    assert binary - plain <= marked


def test_a_key_file_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    first = keyring.read_key_file(_written(path))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        keyring.write_key_file(path, first * 2)
    monkeypatch.undo()
    assert keyring.read_key_file(path) == first


def _written(path: Path) -> Path:
    path.write_text(NEW_KEY)
    path.chmod(0o600)
    return path


def must(store: Store) -> Sealer:
    return store.read(must_be_sealed)
