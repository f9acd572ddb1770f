"""One PostgreSQL database for many tests: emptied between them, because making one anew takes ten times as long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

_SHAPE = """
SELECT relkind, relname, relnatts, reltriggers FROM (
    SELECT relkind::text, relname, relnatts, (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) AS reltriggers
    FROM pg_class c WHERE relnamespace = 'public'::regnamespace) AS shown
ORDER BY 1, 2
"""
"""Every table, index and sequence, with its columns and triggers."""
_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_USED_SEQUENCES = (
    "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
)


@contextmanager
def administering(url: str) -> Iterator[sa.Connection]:
    """A connection whose statements take effect at once."""
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@dataclass
class ReusedDatabase:
    """A copy of a template's database that tests use one after the other."""

    server: str
    template: str
    name: str
    _shape: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.server.rsplit('/', 1)[0]}/{self.name}"

    def make(self) -> None:
        """Copy the template."""
        with administering(self.server) as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {self.name} TEMPLATE {self.template}")
        with administering(self.url) as connection:
            self._shape = _rows(connection, _SHAPE)

    def drop(self) -> None:
        """End it with its connections."""
        with administering(self.server) as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def empty(self) -> None:
        """Make it as new: no connections, no rows, sequences from their start; copied again if a test changed a table."""
        with administering(self.url) as connection:
            connection.exec_driver_sql(_OTHERS)
            is_changed = _rows(connection, _SHAPE) != self._shape
            if not is_changed:
                self._delete_rows(connection)
        if is_changed:
            self.drop()
            self.make()

    def _delete_rows(self, connection: sa.Connection) -> None:
        tables = [str(name) for kind, name, *_ in self._shape if kind == "r"]
        looks = " UNION ALL ".join(f"(SELECT '{name}' FROM \"{name}\" LIMIT 1)" for name in tables)
        filled = [f'"{name}"' for (name,) in _rows(connection, looks)]
        if filled:
            # Triggers that keep the audit log from being shortened are not asked.
            connection.exec_driver_sql("SET session_replication_role = replica")
            connection.exec_driver_sql(f"TRUNCATE {', '.join(filled)} CASCADE")
        for (name,) in _rows(connection, _USED_SEQUENCES):
            connection.exec_driver_sql(f'ALTER SEQUENCE "{name}" RESTART')


def _rows(connection: sa.Connection, statement: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(statement)]
