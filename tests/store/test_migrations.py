"""The scripts make exactly the tables that the code speaks of, on both databases, and can be undone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.store import migrations
from pearlstreet.store.database import Database
from pearlstreet.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    sqlite = request.param == "sqlite"
    made = Database(
        f"sqlite:///{tmp_path}/pearl.db" if sqlite else request.getfixturevalue("postgres_database")
    )
    yield made
    made.close()


def _tables(database: Database) -> set[str]:
    return set(database.read(lambda connection: sa.inspect(connection).get_table_names())) - {
        "alembic_version"
    }


def test_up_to_exactly_the_codes_tables_and_down_to_none(database: Database) -> None:
    assert migrations.current(database) is None
    assert migrations.migrate(database)
    assert migrations.current(database) == migrations.head()
    assert list(migrations.drift(database, metadata)) == [], "run: make migration"
    assert _tables(database) == set(metadata.tables)
    assert not migrations.migrate(database), "nothing left to do"
    migrations.unmake(database)
    assert _tables(database) == set()


def test_checks_of_the_code_are_in_the_database(database: Database) -> None:
    """Alembic compares no CHECK constraints, so they are compared here."""
    migrations.migrate(database)

    def checks(connection: sa.Connection) -> set[str]:
        look = sa.inspect(connection)
        return {
            str(found["name"]) for table in metadata.tables for found in look.get_check_constraints(table)
        }

    expected = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint) and constraint.name
    }
    assert database.read(checks) == expected, "run: make migration"


def test_a_difference_from_the_code_is_seen(database: Database) -> None:
    migrations.migrate(database)
    database.write(
        lambda connection: connection.exec_driver_sql("ALTER TABLE outbox ADD COLUMN extra INTEGER")
    )
    database.write(lambda connection: connection.exec_driver_sql("DROP INDEX ix_audit_actor"))
    found = " ".join(migrations.drift(database, metadata))
    assert "extra" in found
    assert "ix_audit_actor" in found


def test_a_newer_programs_database_is_refused(database: Database) -> None:
    migrations.migrate(database)
    newer = "UPDATE alembic_version SET version_num = '9999'"
    database.write(lambda connection: connection.exec_driver_sql(newer))
    with pytest.raises(ConfigurationError, match=r"newer version.*9999") as caught:
        migrations.migrate(database)
    assert caught.value.hint is not None


def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Database) -> None:
    last = sorted(metadata.tables)[-1]
    database.write(lambda connection: connection.exec_driver_sql(f"CREATE TABLE {last} (in_the_way INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        migrations.migrate(database)
    assert _tables(database) == {last}
    assert migrations.current(database) is None


def test_two_servers_starting_at_once_migrate_once(database: Database) -> None:
    other = Database(database.url.render_as_string(hide_password=False))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrations.migrate, (database, other)))
    other.close()
    assert list(migrations.drift(database, metadata)) == []


def test_there_is_one_newest_script_and_a_line_down_to_the_first() -> None:
    scripts = ScriptDirectory(str(migrations.FOLDER))
    assert len(scripts.get_heads()) == 1, "two scripts follow the same one: let the later follow the earlier"
    numbers = [script.revision for script in scripts.walk_revisions()]
    assert numbers == [f"{number:04d}" for number in range(len(numbers), 0, -1)]


def test_the_scripts_import_nothing_of_the_program() -> None:
    scripts = sorted((migrations.FOLDER / "versions").glob("*.py"))
    assert scripts
    for script in scripts:
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                )
                assert {name.split(".")[0] for name in names} <= {
                    "alembic",
                    "sqlalchemy",
                    *sys.stdlib_module_names,
                }, script
