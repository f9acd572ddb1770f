"""Reading, checking and rotating the sealing key.

A key file contains one key per line: the first one seals, all of them open (there are two only during a rotation). The
database contains a sealed check value; a server without the key of the check value refuses to start.

A column with sealed values has `info={"sealed": "secret {id}"}`, the template of the context of its values. `reseal` uses
this to find all such columns.
"""

from __future__ import annotations

import base64
import os
import stat
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import Text, text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx, must_be_sealed
from pearlstreet.store.sealing import KEY_BYTES, Sealer, SealingKey
from pearlstreet.store.tables import SEALING_CHECK, audit_head, meta, metadata

CHECK = SEALING_CHECK
_CHECK_PLAIN = b"pearlstreet"
PRIVATE = 0o600


def unlock(store: Store, key_file: Path, given: str | None = None) -> Store:
    """Return the store with its sealer. `given` is the key from PEARL_SECRET_KEY, used instead of the file.

    The first start creates the key file. Raises ConfigurationError when the key is lost, wrong, or readable by others.
    """
    used = store.read(lambda tx: _check_value(tx) is not None)
    if given is not None and given.strip():
        keys = _parse(given)
    elif key_file.exists() or key_file.is_symlink():
        keys = read_key_file(key_file)
    elif used:
        raise ConfigurationError(
            text(
                "The encryption key {file} is missing, but this center has encrypted secrets",
                file=str(key_file),
            ),
            hint=text(
                "Restore the key file from your backup, or set PEARL_SECRET_KEY to the key; without it the secrets cannot be read"
            ),
        )
    else:
        keys = (SealingKey(store.rng.token_bytes(KEY_BYTES)),)
        write_key_file(key_file, keys)
    unlocked = replace(store, sealer=Sealer(keys, store.rng))
    if used:
        unlocked.read(_check_key)
    else:
        unlocked.write(_first_use)
    return unlocked


def read_key_file(path: Path) -> tuple[SealingKey, ...]:
    """Return the keys in a file, the sealing key first. Raises ConfigurationError unless only the owner can read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, text("{problem}", problem=error.strerror or "unknown")) from error
    try:
        _check_private(path, os.fstat(descriptor))
        return _parse(os.read(descriptor, 4096).decode("ascii", "replace"))
    finally:
        os.close(descriptor)


def write_key_file(path: Path, keys: tuple[SealingKey, ...]) -> None:
    """Write a key file (mode 600) atomically and durably: after a crash it has either the old or the new keys."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("".join(key.to_text() + "\n" for key in keys))
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def rotate(store: Store, key_file: Path) -> int:
    """Replace the key in `key_file` and seal all values again; returns their number. Only while no server runs.

    After a crash the file contains both keys, which open all values; then run it again.
    """
    old = read_key_file(key_file)
    _must_open(store, old)
    both = (SealingKey(store.rng.token_bytes(KEY_BYTES)), *old)
    write_key_file(key_file, both)
    count = reseal(replace(store, sealer=Sealer(both, store.rng)))
    write_key_file(key_file, both[:1])
    return count


def reseal(store: Store) -> int:
    """Seal all values again with the store's first key, in one transaction; returns their number.

    Raises ConfigurationError, and changes nothing, when a value or the audit log's signature fits none of the keys.
    """
    return store.write(_reseal)


def _reseal(tx: Tx) -> int:
    sealer = must_be_sealed(tx)
    head = tx.first(sa.select(audit_head))
    if head is not None and not sealer.mac_is_right(head["hash"].encode(), head["mac"]):
        raise ConfigurationError(
            text("The audit log's signature is wrong; the key is not changed"),
            hint=text("pearl audit verify shows where"),
        )
    count = 0
    for table, column, template in sealed_columns():
        keys = list(table.primary_key.columns)
        for row in tx.rows(sa.select(table)):
            context = template.format(**row)
            sealed = sealer.seal(sealer.open(bytes(row[column.name]), context), context)
            where = [key == row[key.name] for key in keys]
            tx.execute(sa.update(table).where(*where).values({column.name: sealed}))
            count += 1
    tx.execute(sa.delete(meta).where(meta.c.name == CHECK))
    _write_check(tx)
    audit.record(tx, actor="center", action="key.rotate", target="sealing key", details={"values": count})
    return count


def sealed_columns() -> list[tuple[sa.Table, sa.Column[bytes], str]]:
    """Return all columns with sealed values, as (table, column, template of the context)."""
    return [
        (table, column, column.info["sealed"])
        for table in metadata.sorted_tables
        for column in table.columns
        if "sealed" in column.info
    ]


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(path, text("it is not a plain file"))
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            text(
                "The encryption key {file} can be read by others (mode {mode})",
                file=str(path),
                mode=f"{mode:o}",
            ),
            hint=text("Run: chmod 600 {file}. If others may have read the key, rotate it", file=str(path)),
        )


def _parse(content: str) -> tuple[SealingKey, ...]:
    words = content.replace(",", " ").split()
    if not words:
        return (SealingKey.from_text(""),)
    return tuple(SealingKey.from_text(word) for word in words)


def _must_open(store: Store, keys: tuple[SealingKey, ...]) -> None:
    if store.read(lambda tx: _check_value(tx) is not None):
        replace(store, sealer=Sealer(keys, store.rng)).read(_check_key)


def _check_value(tx: Tx) -> str | None:
    value: str | None = tx.scalar(sa.select(meta.c.value).where(meta.c.name == CHECK))
    return value


def _check_key(tx: Tx) -> None:
    try:
        plain = must_be_sealed(tx).open(base64.b64decode(_check_value(tx) or ""), CHECK)
    except ConfigurationError as error:
        raise ConfigurationError(
            text("The encryption key differs from the one that encrypted this center's secrets"),
            hint=text("Put back the key file that this center was started with"),
        ) from error
    if plain != _CHECK_PLAIN:
        raise ConfigurationError(
            text("A stored secret ({context}) was changed outside the program", context=CHECK)
        )


def _first_use(tx: Tx) -> None:
    """Write the check value and the first row of the audit log, so that an empty log shows that rows were deleted."""
    if _check_value(tx) is None:
        _write_check(tx)
        audit.record(tx, actor="center", action="key.first_use", target="sealing key")


def _write_check(tx: Tx) -> None:
    if _check_value(tx) is None:
        sealed = must_be_sealed(tx).seal(_CHECK_PLAIN, CHECK)
        tx.execute(sa.insert(meta).values(name=CHECK, value=base64.b64encode(sealed).decode()))


def _unreadable(path: Path, problem: Text) -> ConfigurationError:
    return ConfigurationError(
        text("The encryption key {file} cannot be read: {problem}", file=str(path), problem=problem),
        hint=text("It must be a plain file of mode 600 that belongs to the user the server runs as"),
    )


def new_key_text(rng: Rng) -> str:
    """Return a new key in the form of PEARL_SECRET_KEY."""
    return SealingKey(rng.token_bytes(KEY_BYTES)).to_text()
