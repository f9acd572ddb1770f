"""Writes src/pearlstreet/store/migrations/versions/0001_initial.py anew from the tables in the code.

Before the first release the initial script follows the tables; from then on it is frozen and a change of tables is a
new script: `migration.py SLUG MESSAGE` writes the next one from the difference to the newest.
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
    initial = not arguments
    slug, message = (
        ("initial", "The tables of the first release.") if initial else (arguments[0], arguments[1])
    )
    if initial:
        for old in VERSIONS.glob("0001_*.py"):
            old.unlink()
    existing = sorted(VERSIONS.glob("[0-9]*.py"))
    revision = f"{len(existing) + 1:04d}"
    previous = existing[-1].name[:4] if existing else None
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        if existing:
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
