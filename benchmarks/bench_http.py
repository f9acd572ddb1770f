"""CPU of a plain GET under our limits, beside the same application on plain uvicorn in the same run.

Keep-alive: 16 clients, one request at a time each. New connections: each request on its own. Both servers run in processes of their
own with httptools and uvloop; the application is three lines, so that the server is what is measured.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from typing import Any

import psutil
from center import arguments, free_port, median, print_machine, verdict
from results_table import record

CLIENTS = 16
GET = b"GET /health HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"
BOUND = 1.10
NEW_BOUND = 2.0
"""A new connection is accepted in Python, where it can be counted before anything is spent on it."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers everything."""
    headers = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def serve(kind: str, port: int) -> None:
    """Run one of the two servers."""
    import uvicorn

    from pearlstreet.base.clock import SystemClock
    from pearlstreet.http.addresses import TrustedProxies
    from pearlstreet.http.limits import HttpLimits
    from pearlstreet.http.server import GuardedServer

    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", http="httptools", loop="uvloop", ws="none"
    )
    listening = socket.create_server(("127.0.0.1", port), backlog=1024)
    if kind == "plain":
        uvicorn.Server(config).run(sockets=[listening])
    else:
        GuardedServer(config, HttpLimits(), TrustedProxies(), SystemClock()).run(sockets=[listening])


async def keep_alive(port: int, count: int) -> None:
    """`count` requests of each client."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(GET)
            await reader.readuntil(b"ok")
        writer.close()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))


async def new_connections(port: int, count: int) -> None:
    """`count` connections of each client, one request on each."""

    async def one() -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            await reader.readuntil(b"ok")
            writer.close()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))


def wait_until_open(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def main() -> None:
    options = arguments(__doc__)
    count, rounds = (100, 3) if options.quick else (1_000, 7)
    print_machine()
    ports = {kind: free_port() for kind in ("plain", "guarded")}
    servers = {
        kind: subprocess.Popen([sys.executable, __file__, "--serve", kind, str(port)])
        for kind, port in ports.items()
    }
    try:
        for port in ports.values():
            wait_until_open(port)
        kinds = (("keep-alive", keep_alive, 1, BOUND), ("new connection", new_connections, 5, NEW_BOUND))
        for label, load, part, bound in kinds:
            cpu_us: dict[str, list[float]] = {kind: [] for kind in ports}
            for number in range(rounds + 1):
                for kind, port in ports.items():
                    process = psutil.Process(servers[kind].pid)
                    before = sum(process.cpu_times()[:2])
                    asyncio.run(load(port, count // part))
                    if number:  # the first warms up
                        spent = sum(process.cpu_times()[:2]) - before
                        cpu_us[kind].append(spent / (CLIENTS * count // part) * 1e6)
            plain, guarded = median(cpu_us["plain"]), median(cpu_us["guarded"])
            print(f"{label}: {guarded:.0f} us of CPU a GET, plain uvicorn {plain:.0f} us: {guarded / plain:.2f}, "
                  f"{verdict(guarded / plain, bound, at_most=True)}")  # fmt: skip
            record(f"CPU of a GET, {label}", guarded, "us", "plain uvicorn", plain)
    finally:
        for process in servers.values():
            process.terminate()
            process.wait()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        main()
