"""Greedy (first fit, skip-over): every job that fits starts; a large job may wait for ever behind small ones."""

from __future__ import annotations

from pearlstreet.compute.scheduling.backfill.protocol import Backfill

GREEDY = Backfill(passing=True, reservations=0)
