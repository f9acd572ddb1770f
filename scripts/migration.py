"""Writes the next script of src/pearlstreet/store/migrations/versions: what the tables in the code have more or less
than the newest script makes. Scripts that are there never change.

Usage: migration.py SLUG MESSAGE
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pearlstreet.app.tables  # noqa: F401  registers every room's tables
from pearlstreet.store import migrations
from pearlstreet.store.database import Database
from pearlstreet.store.tables import metadata

VERSIONS = migrations.FOLDER / "versions"


def main(arguments: list[str]) -> int:
    """Write one script and say where it is."""
    if len(arguments) != 2:
        sys.stderr.write("usage: migration.py SLUG MESSAGE\n")
        return 2
    slug, message = arguments
    existing = sorted(VERSIONS.glob("[0-9]*.py"))
    revision = f"{len(existing) + 1:04d}"
    previous = existing[-1].name[:4]
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        migrations.migrate(database)
        written = migrations.render(database, metadata, revision=revision, previous=previous, message=message)
        database.close()
    target = VERSIONS / f"{revision}_{slug}.py"
    target.write_text(written, encoding="utf-8")
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", "-q", "--fix", target], check=False)
    subprocess.run([ruff, "format", "-q", target], check=True)
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
