"""The month that invoices of a fresh center are about."""

from __future__ import annotations

from pearlstreet.base.clock import SystemClock
from pearlstreet.ledger.model import Site
from pearlstreet.ledger.months import month_at


def present_month() -> str:
    """Name of the present month (2026-11) in the time zone of a center that was not told another."""
    return month_at(SystemClock().now_us(), Site().time_zone).name
