"""Limits open event streams and followed logs: per user or API key, per address and in total."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import Text, text
from pearlstreet.http.addresses import address_key
from pearlstreet.http.limits import HttpLimits
from pearlstreet.http.refusals import STREAMS, Reason, refusals

RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True)
class StreamTicket:
    """One open stream, as the limiter counts it."""

    user: str
    address: bytes


class StreamLimiter:
    """Counts open streams, in total, by user and by address. To be used in one thread, the event loop's."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._count = 0
        self._of_user: Counter[str] = Counter()
        self._of_address: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return self._count

    def open(self, user: str, host: str) -> StreamTicket:
        """Count a stream of a user at an address and return its ticket. Raises TooMany at a limit."""
        ticket = StreamTicket(user, address_key(host))
        limits = self._limits
        if self._of_user[user] >= limits.streams_per_user:
            message = text(
                "You have {count} streams open, the most a user may have", count=limits.streams_per_user
            )
            raise self._refusal(Reason.STREAMS_PER_USER, message, host)
        if self._of_address[ticket.address] >= limits.streams_per_address:
            message = text(
                "Your address has {count} streams open, the most an address may have",
                count=limits.streams_per_address,
            )
            raise self._refusal(Reason.STREAMS_PER_ADDRESS, message, host)
        if self._count >= limits.streams:
            message = text("The center has {count} streams open, the most it allows", count=limits.streams)
            raise self._refusal(Reason.STREAMS, message, host)
        self._change(ticket, 1)
        return ticket

    def close(self, ticket: StreamTicket) -> None:
        """Stop counting a stream that has ended."""
        self._change(ticket, -1)

    def _change(self, ticket: StreamTicket, step: int) -> None:
        self._count += step
        counters: tuple[tuple[Counter[Any], Any], ...] = (
            (self._of_user, ticket.user),
            (self._of_address, ticket.address),
        )
        for counter, key in counters:
            counter[key] += step
            if not counter[key]:
                del counter[key]
        STREAMS.set(self._count)

    def _refusal(self, reason: Reason, message: Text, host: str) -> TooMany:
        refusals.record(reason, host)
        return TooMany(
            message,
            hint=text("Close open pages, followed logs or programs that wait for events, then try again"),
            retry_after_s=RETRY_AFTER_S,
        )


class LimitedStream(StreamingResponse):
    """A streaming response that gives its ticket back when it ends, also by an error."""

    def __init__(self, content: Any, *, limiter: StreamLimiter, ticket: StreamTicket, **options: Any) -> None:
        super().__init__(content, **options)
        self._limiter, self._ticket = limiter, ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._limiter.close(self._ticket)
