"""Imports the tables of every package, so that the metadata is complete for the migration drift check and tests."""

from __future__ import annotations

from pearlstreet.compute.execution import tables as execution_tables
from pearlstreet.compute.jobs import tables as job_tables
from pearlstreet.compute.pool import tables as pool_tables
from pearlstreet.compute.queueing import tables as queueing_tables
from pearlstreet.compute.whatif import tables as what_if_tables
from pearlstreet.energy import tables as energy_tables
from pearlstreet.hub import tables as hub_tables
from pearlstreet.ledger import tables as ledger_tables
from pearlstreet.offboarding import tables as closing_tables
from pearlstreet.quotes import tables as quote_tables
from pearlstreet.storage import tables as storage_tables
from pearlstreet.store import tables as store_tables
from pearlstreet.tenancy import tables as tenancy_tables
from pearlstreet.tenancy.notices import tables as notice_tables

ALL = (
    store_tables,
    tenancy_tables,
    notice_tables,
    ledger_tables,
    pool_tables,
    execution_tables,
    storage_tables,
    queueing_tables,
    hub_tables,
    job_tables,
    what_if_tables,
    quote_tables,
    closing_tables,
    energy_tables,
)
"""Modules that define tables, one line each."""
