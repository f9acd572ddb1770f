"""Schema versions: `migrate` brings a database to this program's version, in one transaction.

The scripts under versions/ import nothing of the program: a table that changes later must not change what an old script
does.
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
    """The version this program's tables have."""
    return _scripts().get_current_head()


def current(database: Database) -> str | None:
    """The version of a database; None for an empty one."""
    return database.read(_current)


def outdated(database: Database) -> str | None:
    """The version of a database that this program would bring to its own; None for an empty or a present one.

    Raises ConfigurationError for a database of a newer program.
    """
    found = current(database)
    _refuse_newer(found)
    return found if found != head() else None


def migrate(database: Database, revision: str = "head") -> bool:
    """Bring the database to this program's version. Returns whether there was anything to do.

    Raises ConfigurationError for a database of a newer program. Tests name an older `revision`.
    """
    found = current(database)
    if found == head():
        return False
    _refuse_newer(found)
    database.write(lambda connection: _run(connection, command.upgrade, revision))
    return True


def unmake(database: Database) -> None:
    """Go back to an empty database: everything in it is lost. For tests of the scripts."""
    database.write(lambda connection: _run(connection, command.downgrade, "base"))


def drift(database: Database, metadata: sa.MetaData) -> Sequence[str]:
    """How the database differs from the tables in the code, a line each; empty when it does not."""
    found = database.write(lambda connection: compare_metadata(_context(connection), metadata))
    return [str(difference) for difference in found]


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(
            text(
                "The database was written by a newer version of the program (schema {version})", version=found
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
    """The text of a migration script from an existing database to `metadata`. For scripts/migration.py."""
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
