"""Brings back the rows that `fill` wrote: a database as an older program left it, on SQLite or PostgreSQL."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pearlstreet.store import migrations
from pearlstreet.store.database import Database

HERE = Path(__file__).parent
VERSIONS = tuple(sorted(file.name.split(".")[0] for file in HERE.glob("*.jsonl.gz")))
"""Schema versions of which a filled database is kept."""


def load(database: Database, version: str) -> int:
    """Fill an empty database with a version's tables and rows; how many rows."""
    migrations.migrate(database, version)
    kept = list(rows(version))
    database.write(lambda connection: _insert(connection, kept))
    return len(kept)


def rows(version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table, row) of a kept database."""
    with gzip.open(HERE / f"{version}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            found = json.loads(line)
            yield found["table"], {name: _value(value) for name, value in found["row"].items()}


def _value(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


def _insert(connection: Connection, kept: list[tuple[str, dict[str, Any]]]) -> None:
    """Written as they stood, beneath what the code's tables say by now; owners before what they own."""
    tables = sa.MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        booleans = [column.name for column in table.columns if isinstance(column.type, sa.Boolean)]
        for name, row in kept:
            if name == table.name:
                given = row | {column: bool(row[column]) for column in booleans if row[column] is not None}
                columns = ", ".join(f'"{column}"' for column in given)
                places = ", ".join(f":{column}" for column in given)
                connection.execute(sa.text(f'INSERT INTO "{name}" ({columns}) VALUES ({places})'), given)
        _count_on(connection, table)


def _count_on(connection: Connection, table: sa.Table) -> None:
    """PostgreSQL's own counters must go on behind the rows."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        if column.autoincrement is True or column.server_default is not None:
            query = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), max({column.name})) FROM {table.name}"
            connection.execute(sa.text(query))
