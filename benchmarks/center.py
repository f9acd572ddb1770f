"""What the benchmarks share: a real center in a process of its own, a cheap HTTP client, medians, and the machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

START_S = 60.0
CORES = 2
"""The server gets two cores, however many there are."""
PASSWORD = "only for a benchmark"


def arguments(description: str | None) -> argparse.Namespace:
    """`--quick`: a run of seconds for CI; its figures are not to be quoted. `--folder`: on which disk."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("PEARL_BENCH_SMOKE")))
    parser.add_argument("--folder", type=Path, default=None, help="where the data lies (default: TMPDIR)")
    return parser.parse_args()


def print_machine() -> None:
    """What the figures below were measured on, and how busy it was."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    cores = len(os.sched_getaffinity(0))
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    load = os.getloadavg()[0]
    print(
        f"machine: {cores} cores of {model}, {memory_gib:.0f} GiB, Python {platform.python_version()}; load {load:.1f}"
    )


@contextlib.contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """A folder that is deleted again."""
    made = Path(tempfile.mkdtemp(prefix="pearl-bench-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def database(data: Path) -> sqlite3.Connection:
    """A center's database, to look into."""
    return sqlite3.connect(f"file:{data / 'pearl.db'}?mode=ro", uri=True)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Center:
    """A running center and the key of one tenant's owner."""

    data: Path
    port: int
    process: subprocess.Popen[bytes]
    keys: dict[str, str]
    key: str = ""
    options: tuple[str, ...] = ()
    _stopped: bool = field(default=False, repr=False)

    @property
    def rss_mb(self) -> float:
        """Resident memory of the server in MB (10⁶ bytes)."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    @property
    def cpu_s(self) -> float:
        """CPU time the server has used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it and wait."""
        if not self._stopped:
            self._stopped = True
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)


@contextlib.contextmanager
def center(data: Path, *options: str) -> Iterator[Center]:
    """`pearl up` in a process of its own, with a tenant who has a balance."""
    started = start(data, *options)
    try:
        if not started.key:
            asyncio.run(make_tenant(started))
        yield started
    finally:
        started.stop()


def start(data: Path, *options: str) -> Center:
    """`pearl up`; keys are those of the first run, or read from `bench.json`."""
    port = free_port()
    command = [
        sys.executable, "-m", "pearlstreet.app", "up",
        "--data", str(data), "--port", str(port), "--idle", "--json", *options,
    ]  # fmt: skip
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data / "up.log").open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    psutil.Process(process.pid).cpu_affinity(sorted(os.sched_getaffinity(0))[:CORES])
    told = _read_json(process)
    if told is None:
        raise SystemExit(f"the center did not start: {(data / 'up.log').read_text()[-2000:]}")
    kept = data / "bench.json"
    if told["keys"]:
        kept.write_text(json.dumps({"keys": told["keys"], "key": ""}))
    known = json.loads(kept.read_text())
    return Center(data, port, process, known["keys"], known["key"], options)


def _read_json(process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    assert process.stdout is not None
    until, read = time.monotonic() + START_S, b""
    while time.monotonic() < until:
        line = process.stdout.readline()
        if not line:
            return None
        read += line
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(read)
            return found
    return None


async def make_tenant(center: Center) -> None:
    """An organisation with an owner, a key and money."""
    wire = await Wire.open(center.port)

    async def call(method: str, path: str, key: str, body: dict[str, Any]) -> Any:
        status, answer = await wire.ask(request(method, path, key, body))
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer!r}")
        return json.loads(answer)

    await call("POST", "/orgs", center.keys["system"], {"slug": "acme"})
    invited = {"name": "ann", "org": "acme", "role": "owner"}
    link = (await call("POST", "/users", center.keys["security"], invited))["token"]
    await call("POST", "/set-password", "", {"token": link, "password": PASSWORD})
    session = (await call("POST", "/sign-in", "", {"name": "ann", "password": PASSWORD}))["token"]
    center.key = (await call("POST", "/keys", session, {}))["key"]
    await call("PUT", "/orgs/acme/credit-limit", center.keys["system"], {"credit_limit": "100000000"})
    wire.close()
    (center.data / "bench.json").write_text(json.dumps({"keys": center.keys, "key": center.key}))


def request(method: str, path: str, key: str, body: Any = None) -> bytes:
    """One HTTP request, ready to send."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} /api/v1{path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(content)}\r\n"
    if key:
        head += f"authorization: Bearer {key}\r\n"
    if content:
        head += "content-type: application/json\r\n"
    return head.encode() + b"\r\n" + content


@dataclass
class Wire:
    """One keep-alive connection: as cheap as a client can be, so that the server is what is measured."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @staticmethod
    async def open(port: int) -> Wire:
        """Connect."""
        return Wire(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, encoded: bytes) -> tuple[int, bytes]:
        """Send one request; status and body of its answer."""
        self.writer.write(encoded)
        head = await self.reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at : head.index(b"\r", at)])
        return int(head[9:12]), await self.reader.readexactly(length) if length else b""

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


async def load(
    port: int, encoded: Sequence[bytes], clients: int, expect: int = 201
) -> tuple[float, list[float]]:
    """Send the requests over `clients` connections, one at a time on each: (requests/s, seconds of each)."""
    rest, seconds = iter(encoded), []

    async def one() -> None:
        wire = await Wire.open(port)
        for item in rest:
            began = time.perf_counter()
            status, answer = await wire.ask(item)
            seconds.append(time.perf_counter() - began)
            if status != expect:
                raise SystemExit(f"{status} {answer!r}")
        wire.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return len(encoded) / (time.perf_counter() - began), seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def verdict(value: float, bound: float, *, at_most: bool) -> str:
    """How a figure stands to what it should reach."""
    met = value <= bound if at_most else value >= bound
    return f"{'met' if met else 'MISSED'} ({'≤' if at_most else '≥'} {bound:g})"
