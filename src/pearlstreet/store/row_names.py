"""Names of rows for people: a table states the prefix of its ids and the column with the name in its `info`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from pearlstreet.store.core import Tx
from pearlstreet.store.tables import metadata


def named(prefix: str, column: str) -> dict[str, object]:
    """Return the `info` of a table whose ids begin with `prefix` and whose rows people know by `column`."""
    return {"id_prefix": prefix, "name_column": column}


def names_of(tx: Tx, ids: Iterable[str]) -> Mapping[str, str]:
    """Return names by id; ids of deleted rows, of unnamed kinds and other texts are left out."""
    tables = {
        table.info["id_prefix"]: table for table in metadata.tables.values() if "id_prefix" in table.info
    }
    by_prefix: dict[str, set[str]] = {}
    for row_id in ids:
        by_prefix.setdefault(row_id.partition("_")[0], set()).add(row_id)
    names: dict[str, str] = {}
    for prefix, wanted in by_prefix.items():
        if (table := tables.get(prefix)) is not None:
            name = table.c[table.info["name_column"]]
            query = sa.select(table.c.id, name).where(table.c.id.in_(sorted(wanted)))
            names.update(tuple(row) for row in tx.execute(query))
    return names
