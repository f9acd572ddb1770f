"""Dot product: the node whose free amounts point the least along what the task takes, so that what is scarce stays.

Panigrahy, Talwar, Uyeda and Wieder, "Heuristics for Vector Bin Packing" (2011), in the form Weng et al. compare with in
"Beware of Fragmentation" (ATC 2023): the smallest product of demand and supply, both by the largest node.
"""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.placement.measures import left_over


def score(capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """Return the products of need and free amounts in cores and cards, each relative to the largest node."""
    most_cpu = max(int(capacity.cpu_total.max(initial=1)), 1)
    most_cards = max(int((capacity.model >= 0).sum(axis=1).max(initial=1)), 1)
    cpu = capacity.free_cpu(rows, lasting) / most_cpu * (need.cpu / most_cpu)
    cards = need.card_bp / FULL_BP / most_cards
    dot = cpu + left_over(capacity, need, rows, lasting) / most_cards * cards if need.model >= 0 else cpu
    return np.asarray(dot, dtype=np.float64), np.minimum(fit, 1)
