"""Triggers that keep the books from being changed or cut: entries, transactions, prices, issued invoices, use.

They stand beside the tables on both databases. Somebody who may drop triggers can still tamper; `proof` finds it.
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
"""Tables whose rows are never deleted, and the columns that never change (none named: all)."""


def install(connection: Connection) -> None:
    """Make the guards that are missing; harmless to repeat. Runs at every start, whoever made the tables."""
    for statement in statements(connection.dialect.name):
        connection.exec_driver_sql(statement)


def statements(dialect: str) -> list[str]:
    """The DDL that makes the guards on `sqlite` or `postgresql` (14 or later)."""
    made = [] if dialect == "sqlite" else [_FUNCTION]
    for table, columns in _NEVER:
        made += _guards(table.name, columns, dialect)
    return made


_FUNCTION = """CREATE OR REPLACE FUNCTION ledger_never_changes() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' never changes'; END $$"""


def _guards(table: str, columns: Sequence[str], dialect: str) -> list[str]:
    of = f" OF {', '.join(columns)}" if columns else ""
    made = []
    for name, event in (("fixed", f"UPDATE{of}"), ("kept", "DELETE")):
        body = f"{table}_{name} BEFORE {event} ON {table} FOR EACH ROW"
        if dialect == "sqlite":
            made.append(
                f"CREATE TRIGGER IF NOT EXISTS {body} BEGIN SELECT RAISE(ABORT, '{table} never changes'); END"
            )
        else:
            made.append(f"CREATE OR REPLACE TRIGGER {body} EXECUTE FUNCTION ledger_never_changes()")
    return made


def _install() -> None:
    for dialect in ("sqlite", "postgresql"):
        for table, columns in _NEVER:
            made = _guards(table.name, columns, dialect)
            if dialect == "postgresql":
                made.insert(0, _FUNCTION)
            for statement in made:
                made_with_table = sa.DDL(statement)  # type: ignore[no-untyped-call]
                sa.event.listen(table, "after_create", made_with_table.execute_if(dialect=dialect))


_install()
