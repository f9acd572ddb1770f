"""First fit: any node that fits, in the fixed order (D. S. Johnson, "Near-optimal bin packing algorithms", 1973)."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.room import Need, Room, Rows


def score(room: Room, need: Need, rows: Rows, fit: I64, lasting: bool) -> tuple[F64, I64]:
    """Every node alike."""
    return np.zeros(len(fit)), fit
