"""Strict: nobody passes a blocked job. Plain first come, first served, with whole-queue blocking."""

from __future__ import annotations

from pearlstreet.compute.scheduling.backfill.protocol import Backfill

STRICT = Backfill(passing=False, reservations=0)
