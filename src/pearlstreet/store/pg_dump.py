"""Consistent copies of a PostgreSQL database with pg_dump and pg_restore."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from pearlstreet.base.errors import ConfigurationError, Conflict, Unavailable
from pearlstreet.base.text import text
from pearlstreet.store.database import Database


def dump(url: URL, target: Path) -> None:
    """Dump a database in pg_dump's custom format. Raises ConfigurationError without pg_dump, Unavailable if it fails."""
    _run("pg_dump", url, ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"])


def load(database: Database, dumped: Path) -> None:
    """Restore a dump in one transaction. Raises Conflict unless the database is empty."""
    if database.read(lambda connection: sa.inspect(connection).get_table_names()):
        raise Conflict(
            text("The PostgreSQL database is not empty"),
            hint=text("Name an empty PostgreSQL database to restore into"),
        )
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(dumped)]
    _run("pg_restore", database.url, options)


def _run(program: str, url: URL, options: Sequence[str]) -> None:
    executable = shutil.which(program)
    if executable is None:
        raise ConfigurationError(
            text("{program} is not installed", program=program),
            hint=text("Install PostgreSQL's client programs (Debian: postgresql-client)"),
        )
    with tempfile.NamedTemporaryFile("w", suffix=".pgpass") as passwords:
        passwords.write(f"*:*:*:*:{_escaped(url.password or '')}\n")
        passwords.flush()
        # The password is passed in a private file, because all users of the machine can read arguments.
        address = url.set(drivername="postgresql", password=None).render_as_string()
        done = subprocess.run(
            [executable, "--no-password", f"--dbname={address}", *options],
            env={"PGPASSFILE": passwords.name, "PATH": os.defpath, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise Unavailable(
            text("{program} failed: {problem}", program=program, problem=done.stderr.strip()[-500:]),
            retry_after_s=30,
        )


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")
