"""Limits the memory for request bodies, per address and in total, and refuses compressed bodies."""

from __future__ import annotations

from collections import Counter

from starlette.types import Message, Receive, Scope

from pearlstreet.base.errors import InvalidInput, Problem, TooMany, Unavailable
from pearlstreet.base.text import text

BYTES_MAX = 256 << 20
"""Bytes of all bodies that are being received or processed."""
BYTES_PER_ADDRESS_MAX = 64 << 20
"""Bytes of the bodies of one address that are being received or processed."""
RETRY_AFTER_S = 5


def check_encoding(scope: Scope) -> InvalidInput | None:
    """Return an error if a request's body is compressed, as a few bytes could unpack to gigabytes; otherwise None."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            message = text("The body is compressed; the center takes bodies as they are")
            hint = text("Send it without Content-Encoding")
            return InvalidInput(
                message, hint=hint, problems=[Problem("Content-Encoding", message, hint=hint)]
            )
    return None


class BodyBudget:
    """Counts the bytes of request bodies in memory. To be used in one thread, the event loop's."""

    def __init__(self, total: int = BYTES_MAX, per_address: int = BYTES_PER_ADDRESS_MAX) -> None:
        self._total, self._per_address = total, per_address
        self._held = 0
        self._of_address: Counter[bytes] = Counter()

    @property
    def held(self) -> int:
        """Bytes in memory now."""
        return self._held

    def take(self, address: bytes, count: int) -> None:
        """Add bytes of an address. Raises TooMany at its limit, Unavailable at the limit of all."""
        if self._of_address[address] + count > self._per_address:
            raise TooMany(
                text("Your address sends too much at once"),
                hint=text("Send large files as uploads: POST /api/v1/uploads"),
                retry_after_s=RETRY_AFTER_S,
            )
        if self._held + count > self._total:
            raise Unavailable(text("Too much is being sent at this moment"), retry_after_s=RETRY_AFTER_S)
        self._held += count
        self._of_address[address] += count

    def give_back(self, address: bytes, count: int) -> None:
        """Subtract bytes of an address."""
        self._held -= count
        self._of_address[address] -= count
        if not self._of_address[address]:
            del self._of_address[address]


class HeldBody:
    """An ASGI `receive` function that counts the bytes of one request's body until `close`."""

    def __init__(self, receive: Receive, budget: BodyBudget, address: bytes) -> None:
        self._receive, self._budget, self._address = receive, budget, address
        self._count = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        count = len(message.get("body", b""))
        if count:
            self._budget.take(self._address, count)
            self._count += count
        return message

    def close(self) -> None:
        """Give the counted bytes back when the request has ended."""
        if self._count:
            self._budget.give_back(self._address, self._count)
            self._count = 0
