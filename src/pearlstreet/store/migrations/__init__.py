"""Schema migrations: `migrate` brings a database to this program's schema version, in one transaction.

The scripts in versions/ import nothing from the program, so that later changes of tables do not change old scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.store.database import Database

FOLDER = Path(__file__).parent
COMPARED = {"compare_type": True, "compare_server_default": True}


def head() -> str | None:
    """Return the schema version of this program."""
    return _scripts().get_current_head()


def current(database: Database) -> str | None:
    """Return the schema version of a database; None for an empty database."""
    return database.read(_current)


def outdated(database: Database) -> str | None:
    """Return the schema version of a database that needs migration; None for an empty or current database.

    Raises ConfigurationError for a database of a newer program.
    """
    version = current(database)
    _refuse_newer(version)
    return version if version != head() else None


def migrate(database: Database, revision: str = "head") -> bool:
    """Migrate the database to this program's schema version; returns whether it was needed.

    Raises ConfigurationError for a database of a newer program. Tests pass an older `revision`.
    """
    version = current(database)
    if version == head():
        return False
    _refuse_newer(version)
    database.write(lambda connection: _run(connection, command.upgrade, revision))
    return True


def unmake(database: Database) -> None:
    """Downgrade to an empty database, losing all data; for tests of the migration scripts."""
    database.write(lambda connection: _run(connection, command.downgrade, "base"))


def drift(database: Database, metadata: sa.MetaData) -> Sequence[str]:
    """Return the differences between the database and the tables in the code, one line each."""
    differences = database.write(lambda connection: compare_metadata(_context(connection), metadata))
    return [str(difference) for difference in differences]


def _refuse_newer(version: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if version is not None and version not in known:
        raise ConfigurationError(
            text(
                "The database was written by a newer version of the program (schema {version})",
                version=version,
            ),
            hint=text("Start the newer version, or restore a backup that this version made"),
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts=dict(COMPARED))


def _run(connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    step(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def render(
    database: Database, metadata: sa.MetaData, *, revision: str, previous: str | None, message: str
) -> str:
    """Return a migration script from an existing database to `metadata`, for scripts/migration.py."""
    from alembic.autogenerate import produce_migrations, render_python_code

    def compare(connection: Connection) -> tuple[str, str]:
        context = _context(connection)
        operations = produce_migrations(context, metadata)
        up, down = operations.upgrade_ops, operations.downgrade_ops
        options: dict[str, Any] = {"migration_context": context}
        return (
            "" if up is None else render_python_code(up, **options),
            "" if down is None else render_python_code(down, **options),
        )

    up, down = database.write(compare)
    up, down = _without_marks(up), _without_marks(down)
    return _TEMPLATE.format(message=message, revision=revision, previous=previous, up=up, down=down)


def _without_marks(code: str) -> str:
    return (
        "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("# ###")).strip()
        or "pass"
    )


_TEMPLATE = '''"""{message}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision: str | None = {previous!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''
