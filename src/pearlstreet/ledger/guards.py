"""Database triggers that prevent changes and deletions of entries, transactions, prices, invoices, spans and charges.

Both databases have them. A database user who may drop triggers can still tamper with the books; `proof` detects it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pearlstreet.ledger import tables

_NEVER: Sequence[tuple[sa.Table, Sequence[str]]] = (
    (tables.transactions, ()),
    (tables.entries, ()),
    (tables.price_versions, ()),
    (tables.price_rules, ()),
    (tables.invoices, ()),
    (
        tables.spans,
        ("id", "stream_id", "sequence", "start_us", "end_us", "amount", "pflops", "pflops_basis"),
    ),
    (
        tables.charges,
        tuple(column.name for column in tables.charges.c if column.name != "invoice_id"),
    ),
)
"""Tables whose rows are never deleted, each with the columns that never change (empty: all columns)."""


def install(connection: Connection) -> None:
    """Create missing triggers; idempotent. Runs at every start, because a migration may have created the tables."""
    for statement in statements(connection.dialect.name):
        connection.exec_driver_sql(statement)


def statements(dialect: str) -> list[str]:
    """Return the DDL statements that create the triggers on `sqlite` or `postgresql` (14 or later)."""
    ddl = [] if dialect == "sqlite" else [_FUNCTION]
    for table, columns in _NEVER:
        ddl += _guards(table.name, columns, dialect)
    return ddl


_FUNCTION = """CREATE OR REPLACE FUNCTION ledger_never_changes() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' never changes'; END $$"""


def _guards(table: str, columns: Sequence[str], dialect: str) -> list[str]:
    of = f" OF {', '.join(columns)}" if columns else ""
    triggers = []
    for name, event in (("fixed", f"UPDATE{of}"), ("kept", "DELETE")):
        body = f"{table}_{name} BEFORE {event} ON {table} FOR EACH ROW"
        if dialect == "sqlite":
            triggers.append(
                f"CREATE TRIGGER IF NOT EXISTS {body} BEGIN SELECT RAISE(ABORT, '{table} never changes'); END"
            )
        else:
            triggers.append(f"CREATE OR REPLACE TRIGGER {body} EXECUTE FUNCTION ledger_never_changes()")
    return triggers


def _install() -> None:
    for dialect in ("sqlite", "postgresql"):
        for table, columns in _NEVER:
            triggers = _guards(table.name, columns, dialect)
            if dialect == "postgresql":
                triggers.insert(0, _FUNCTION)
            for statement in triggers:
                ddl = sa.DDL(statement)  # type: ignore[no-untyped-call]
                sa.event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


_install()
