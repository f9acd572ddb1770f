"""Rate limit on the bytes of specifications that an organisation submits, since they are stored as long as its jobs.

It is a token bucket per organisation, in memory like the rate limits of requests. Ordinary specifications (1 to 3 KiB) never
reach it; specifications of 4 MiB, the maximum, would fill the disk in hours.
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
"""Bytes that may be submitted at once."""
PER_DAY_BYTES = 4 << 30
"""Bytes per 24 h after the burst is used up."""
ORGS_MAX = 10_000
"""Number of remembered organisations, above which the least recently used are dropped."""
_PER_US = PER_DAY_BYTES / (86_400 * US_PER_S)


def stored_bytes(stored: Mapping[str, object]) -> int:
    """Return the size of a specification in the database in bytes."""
    return len(json.dumps(stored))


@dataclass(slots=True)
class SpecVolume:
    """Token buckets of all organisations, in bytes. Only the store's writer thread uses them, so there is no lock."""

    _left: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    """(Bytes left, time of that in µs since 1970) by organisation id."""

    def take(self, org_id: str, size: int, now_us: int) -> None:
        """Take `size` bytes from an organisation's bucket. Raises TooMany if fewer are left."""
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
