"""How many bytes of specifications an organisation may submit: they are kept as long as its jobs are.

A token bucket for each organisation, in memory like the rate limits of requests. Ordinary specifications (1 to 3 KiB)
never reach it; 4 MiB each, which one file may have, would fill the disk in hours.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text

BURST_BYTES = 1 << 30
"""Bytes that may come at once."""
PER_DAY_BYTES = 4 << 30
"""Bytes in 24 h once the burst is used up."""
ORGS_MAX = 10_000
"""Organisations remembered; beyond it the longest unused are dropped."""
_PER_US = PER_DAY_BYTES / (86_400 * US_PER_S)


def stored_bytes(stored: Mapping[str, object]) -> int:
    """Bytes of a specification as the database keeps it."""
    return len(json.dumps(stored))


@dataclass(slots=True)
class SpecVolume:
    """What each organisation may still submit, in bytes. Only the store's writer thread touches it."""

    _left: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    """Organisation id → bytes left, and when that was (µs)."""

    def take(self, org_id: str, size: int, now_us: int) -> None:
        """Count a specification of `size` bytes. Raises TooMany when they are more than what is left."""
        left, at_us = self._left.pop(org_id, (float(BURST_BYTES), now_us))
        left = min(float(BURST_BYTES), left + max(0, now_us - at_us) * _PER_US)
        fits = size <= left
        self._left[org_id] = (left - size if fits else left, now_us)
        if len(self._left) > ORGS_MAX:
            self._left.popitem(last=False)
        if not fits:
            raise TooMany(
                text(
                    "The organisation's specifications are too much at once: at most {burst} GiB, then {day} GiB a day",
                    burst=BURST_BYTES >> 30,
                    day=PER_DAY_BYTES >> 30,
                ),
                hint=text("Put data and long lists into uploads instead of the specification"),
                retry_after_s=int((size - left) / _PER_US / US_PER_S) + 1,
            )
