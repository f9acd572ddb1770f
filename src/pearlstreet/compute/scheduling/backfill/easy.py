"""EASY (D. Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995): the first blocked job holds a reservation."""

from __future__ import annotations

from pearlstreet.compute.scheduling.backfill.protocol import Backfill

EASY = Backfill(passing=True, reservations=1)
