"""Conservative: every blocked job, up to `reserve_depth` kinds of them, holds a reservation.

A. Mu'alem, D. Feitelson, "Utilization, predictability, workloads, and user runtime estimates in scheduling the IBM SP2
with backfilling" (IEEE TPDS 12(6), 2001) compares it with EASY: fewer jobs pass, but no blocked job is delayed by them.
"""

from __future__ import annotations

from pearlstreet.compute.scheduling.backfill.protocol import Backfill

CONSERVATIVE = Backfill(passing=True, reservations=-1)
