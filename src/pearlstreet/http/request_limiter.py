"""Limits concurrent requests per client address behind a proxy, whose connections carry many clients."""

from __future__ import annotations

from collections import Counter

from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text
from pearlstreet.http.refusals import Reason, refusals

RETRY_AFTER_S = 5


class RequestLimiter:
    """Counts requests in progress by client address. To be used in one thread, the event loop's."""

    def __init__(self, per_address: int) -> None:
        self._per_address = per_address
        self._of_address: Counter[bytes] = Counter()

    def enter(self, address: bytes, host: str) -> None:
        """Count a request of an address. Raises TooMany at the limit."""
        if self._of_address[address] >= self._per_address:
            refusals.record(Reason.REQUESTS_PER_ADDRESS, host)
            raise TooMany(
                text(
                    "Your address has {count} requests in progress, the most an address may have",
                    count=self._per_address,
                ),
                hint=text("Wait for their answers"),
                retry_after_s=RETRY_AFTER_S,
            )
        self._of_address[address] += 1

    def leave(self, address: bytes) -> None:
        """Stop counting a request that has been answered."""
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
