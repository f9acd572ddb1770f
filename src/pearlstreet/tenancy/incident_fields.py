"""Fields of incidents, as all interfaces show them. Imports no database, so that the command line starts fast."""

from __future__ import annotations

from pearlstreet.base.table_fields import FieldKind, TableField
from pearlstreet.base.text import text

INCIDENT_FIELDS = (
    TableField("given_up", text("State"), FieldKind.FLAG, states=("given_up", "retrying")),
    TableField("loop", text("Background task"), FieldKind.CODE),
    TableField("row", text("Row"), FieldKind.CODE, pages={"job_": "/jobs/"}),
    TableField("error", text("Problem")),
    TableField("failures", text("Failures"), FieldKind.COUNT),
    TableField("at", text("Last time"), FieldKind.TIME, attribute="at_us"),
)
