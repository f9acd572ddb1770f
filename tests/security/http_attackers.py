"""Attacks on the HTTP server, each in a process of its own: `python -m tests.security.http_attackers NAME PORT SECONDS`.

What the server answered is printed as JSON: status or "closed" → how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"
HEALTH = b"GET /health HTTP/1.1\r\nhost: center\r\n"
SIGN_IN = b"POST /api/v1/sign-in HTTP/1.1\r\nhost: center\r\ncontent-type: application/json\r\n"
Answers = Counter[str]


class Attacker:
    """Opens connections until its time is over."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self.until = time.monotonic() + seconds
        self.answers: Answers = Counter()

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    async def many(self, count: int, one: Callable[[], Awaitable[None]]) -> None:
        """`count` at once, each begun anew when the server ended it."""

        async def again() -> None:
            while self.goes_on:
                try:
                    await one()
                except (OSError, EOFError):
                    self.answers["reset"] += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(again() for _ in range(count)))

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)

    async def drip(self, first: bytes, drop: bytes, pause_s: float, drops: int = 1_000_000) -> None:
        """Send `first`, then `drop` after each pause until the server has enough; count its answer."""
        reader, writer = await self.open()
        answer = asyncio.ensure_future(reader.read(65536))
        try:
            writer.write(first)
            for _ in range(drops):
                if answer.done() or not self.goes_on:
                    break
                writer.write(drop)
                await asyncio.wait({asyncio.ensure_future(writer.drain()), answer}, timeout=5)
                if pause_s:
                    await asyncio.wait({answer}, timeout=pause_s)
            done, _ = await asyncio.wait({answer}, timeout=max(0.0, min(5.0, self.until - time.monotonic())))
            self.answers[self._status(answer.result()) if done else "open"] += 1
        finally:
            answer.cancel()
            writer.transport.abort()

    @staticmethod
    def _status(head: bytes) -> str:
        return head[9:12].decode() if head.startswith(b"HTTP/1.1 ") else "closed"

    # -- the attacks

    async def slow_headers(self) -> None:
        """One byte of a header now and then."""
        await self.many(200, lambda: self.drip(HEALTH + b"x: ", b"a", 0.5))

    async def slow_body(self) -> None:
        """One byte of a body now and then."""
        await self.many(200, lambda: self.drip(SIGN_IN + b"content-length: 60000\r\n\r\n{", b" ", 0.5))

    async def half_open(self) -> None:
        """Thousands of connections that never ask anything."""
        await self.many(1_400, lambda: self.drip(b"GET / HT", b"", 30, 1))

    async def idle_keep_alive(self) -> None:
        """Connections that ask once and then stay."""

        async def one() -> None:
            reader, writer = await self.open()
            try:
                writer.write(HEALTH + b"\r\n")
                self.answers[self._status(await reader.readuntil(b"\r\n\r\n"))] += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(), max(0.1, self.until - time.monotonic()))
                await asyncio.sleep(min(2.0, max(0.0, self.until - time.monotonic())))
            finally:
                writer.transport.abort()

        await self.many(1_400, one)

    async def churn(self) -> None:
        """Connections that are opened and closed at once."""

        async def one() -> None:
            _, writer = await self.open()
            writer.transport.abort()
            self.answers["opened"] += 1
            await asyncio.sleep(0.01)

        await self.many(20, one)

    async def header_flood(self) -> None:
        """More fields than anybody needs."""
        await self.many(
            4, lambda: self.drip(HEALTH + b"".join(b"x-%d: y\r\n" % n for n in range(5_000)), b"", 1, 1)
        )

    async def endless_header(self) -> None:
        """One header without an end."""
        await self.many(4, lambda: self.drip(HEALTH + b"x: ", b"a" * 65536, 0))

    async def endless_request_line(self) -> None:
        """A request line without an end."""
        await self.many(4, lambda: self.drip(b"GET /", b"a" * 65536, 0))

    async def endless_chunk_extension(self) -> None:
        """A chunk's extension without an end."""
        head = SIGN_IN + b"transfer-encoding: chunked\r\n\r\n1;x="
        await self.many(4, lambda: self.drip(head, b"a" * 65536, 0))

    async def tiny_chunks(self) -> None:
        """A body in chunks of one byte."""
        head = SIGN_IN + b"transfer-encoding: chunked\r\n\r\n"
        await self.many(4, lambda: self.drip(head, b"1\r\n \r\n" * 20_000, 0))

    async def compressed_bomb(self) -> None:
        """A body that would unpack to 256 MiB."""
        body = gzip.compress(b"\0" * (256 << 20), 1)
        head = SIGN_IN + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
        await self.many(4, lambda: self.drip(head, body, 1, 1))

    async def compressed_transfer(self) -> None:
        """The same as a transfer coding."""
        body = gzip.compress(b"\0" * (1 << 20))
        head = SIGN_IN + b"transfer-encoding: gzip, chunked\r\n\r\n%x\r\n" % len(body)
        await self.many(4, lambda: self.drip(head, body + b"\r\n0\r\n\r\n", 1, 1))

    async def pipelining(self) -> None:
        """As many requests as fit, before the first answer is read."""

        async def one() -> None:
            reader, writer = await self.open()
            writer.write((HEALTH + b"\r\n") * 2_000)
            try:
                while self.goes_on and (got := await reader.read(65536)):
                    self.answers["200"] += got.count(b"HTTP/1.1 200")
                    if got.count(b"HTTP/1.1 "):
                        writer.write((HEALTH + b"\r\n") * got.count(b"HTTP/1.1 "))
            finally:
                writer.transport.abort()

        await self.many(20, one)

    async def slow_reader(self) -> None:
        """Large answers that nobody reads."""

        async def one() -> None:
            with socket.socket() as asking:  # a small window, so that the answers wait at the server
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                asking.setblocking(False)
                await asyncio.get_running_loop().sock_connect(asking, (HOST, self.port))
                _, writer = await asyncio.open_connection(sock=asking.dup(), limit=1)
            try:
                ask = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: center\r\n\r\n"
                writer.write(ask * 30)
                while self.goes_on and not writer.transport.is_closing():
                    await asyncio.sleep(0.5)
                    writer.write(b"\r\n")  # notices when the server has enough
                self.answers["closed" if self.goes_on else "open"] += 1
            finally:
                writer.transport.abort()

        await self.many(60, one)


ATTACKS = (
    "slow_headers", "slow_body", "half_open", "idle_keep_alive", "churn", "header_flood", "endless_header",
    "endless_request_line", "endless_chunk_extension", "tiny_chunks", "compressed_bomb", "compressed_transfer",
    "pipelining", "slow_reader",
)  # fmt: skip


def main() -> None:
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def run() -> Answers:
        attacker = Attacker(port, seconds)
        await getattr(attacker, name)()
        return attacker.answers

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main()
