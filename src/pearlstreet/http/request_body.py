"""Request bodies that wait in memory: bounded per address and in all, and never compressed."""

from __future__ import annotations

from collections import Counter

from starlette.types import Message, Receive, Scope

from pearlstreet.base.errors import InvalidInput, Problem, TooMany, Unavailable
from pearlstreet.base.text import text

BYTES_MAX = 256 << 20
"""Bytes of bodies in all that are being received or worked on."""
BYTES_PER_ADDRESS_MAX = 64 << 20
RETRY_AFTER_S = 5


def check_encoding(scope: Scope) -> InvalidInput | None:
    """Return what is wrong with a compressed body: a few bytes of it could unpack to gigabytes."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            message = text("The body is compressed; the center takes bodies as they are")
            hint = text("Send it without Content-Encoding")
            return InvalidInput(
                message, hint=hint, problems=[Problem("Content-Encoding", message, hint=hint)]
            )
    return None


class BodyBudget:
    """Bytes of bodies that are held. For one thread: the event loop."""

    def __init__(self, total: int = BYTES_MAX, per_address: int = BYTES_PER_ADDRESS_MAX) -> None:
        self._total, self._per_address = total, per_address
        self._held = 0
        self._of_address: Counter[bytes] = Counter()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def take(self, address: bytes, count: int) -> None:
        """Hold more bytes. Raises TooMany, Unavailable."""
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
        """Hold fewer bytes."""
        self._held -= count
        self._of_address[address] -= count
        if not self._of_address[address]:
            del self._of_address[address]


class HeldBody:
    """The body of one request, counted while the request lasts. A `receive` of ASGI."""

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
        """The request has ended."""
        if self._count:
            self._budget.give_back(self._address, self._count)
            self._count = 0
