"""One tenant submits as fast as it can while 200 of its logs are followed; another tenant wants its jobs started.

`make soak MINUTES=10` runs a server of its own with a simulated cluster and prints: the other tenant's time from submit to
running, memory after everything has drained against what it was after warm-up, and open descriptors before and after.

A quota keeps 8 of the 128 cards free of the greedy tenant: without preemption a full center makes others wait until a job ends,
and that time is not the server's. Submit to running contains the engine's start, 0.2 to 1.5 s in the simulated engine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.crash.server import NO_AUTHORITIES, Server

PASSWORD = "correct horse battery staple"
FOLLOWERS = 200
SUBMITTERS = 8
P95_S = 2.0
GROWTH_MB = 50.0
DESCRIPTORS_SPARE = 16
"""Pools and engines may hold a few more descriptors than at the first count."""
PER_TASK = {"accelerator": "any", "count": 1, "cpus": 1, "memory_gib": 1}
LONG = {"name": "followed", "command": ["true"], "per_task": {"cpus": 1, "memory_gib": 1}, "simulate": "100h"}
GREEDY_CARDS = 120
GREEDY = {"name": "many", "command": ["true"], "per_task": PER_TASK, "time_limit": "1h", "simulate": "20s"}
OTHER = {"name": "one", "command": ["true"], "per_task": PER_TASK, "time_limit": "1h", "simulate": "2s"}


@dataclass
class Soak:
    """What was measured."""

    starts_s: list[float] = field(default_factory=list)
    """Submit to running, of each job of the other tenant."""
    placed_s: list[float] = field(default_factory=list)
    """Submit to placed: the part before the engine's start."""
    submitted: int = 0
    turned_away: int = 0
    """Submits answered with 429 or 402."""
    failures: list[str] = field(default_factory=list)
    followed_bytes: int = 0
    followers: int = 0


class Tenant:
    """An organisation with one owner."""

    def __init__(self, server: Server, slug: str) -> None:
        with server.http(server.keys["system"]) as system, server.http(server.keys["security"]) as security:
            _json(system.post("/orgs", json={"slug": slug}))
            token = _json(
                security.post("/users", json={"name": f"{slug}-owner", "org": slug, "role": "owner"})
            )["token"]
            _json(system.put(f"/orgs/{slug}/credit-limit", json={"credit_limit": "1000000000"}))
        with server.http() as anyone:
            _json(anyone.post("/set-password", json={"token": token, "password": PASSWORD}))
            session = _json(anyone.post("/sign-in", json={"name": f"{slug}-owner", "password": PASSWORD}))[
                "token"
            ]
        with server.http(session) as person:
            self.key = str(_json(person.post("/keys", json={"label": "soak", "org": slug}))["key"])
        self.url = server.url

    def http(self) -> httpx.Client:
        """A client with its key."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"authorization": f"Bearer {self.key}"},
            timeout=60,
            verify=NO_AUTHORITIES,
        )


def _json(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code >= 300:
        raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


def submit_without_rest(tenant: Tenant, soak: Soak, ended: threading.Event) -> None:
    """Submit as fast as answers come, obeying Retry-After."""
    with tenant.http() as http:
        while not ended.is_set():
            try:
                answer = http.post("/jobs", json=GREEDY)
            except httpx.HTTPError as error:
                soak.failures.append(f"submit: {error!r}")
                continue
            if answer.status_code == 201:
                soak.submitted += 1
            elif answer.status_code in (402, 429, 503):
                soak.turned_away += 1
                ended.wait(float(answer.headers.get("retry-after", "1")))
            else:
                soak.failures.append(f"submit: {answer.status_code} {answer.text[:200]}")


def submit_and_wait(tenant: Tenant, soak: Soak, ended: threading.Event) -> None:
    """Submit one job after another and time its start."""
    with tenant.http() as http:
        while not ended.is_set():
            began = time.monotonic()
            try:
                job = str(_json(http.post("/jobs", json=OTHER))["id"])
                placed_s = _wait_while(http, job, ("queued",), began)
                started_s = _wait_while(http, job, ("queued", "placed", "starting"), began)
            except (httpx.HTTPError, SystemExit) as error:
                soak.failures.append(f"other tenant: {error!r}")
                continue
            soak.placed_s.append(placed_s)
            soak.starts_s.append(started_s)
            ended.wait(0.5)


def _wait_while(http: httpx.Client, job: str, states: tuple[str, ...], began: float) -> float:
    """Wait while the job is in one of the states, at most a minute; returns the seconds since `began`."""
    while _json(http.get(f"/jobs/{job}"))["state"] in states and time.monotonic() - began < 60:
        time.sleep(0.05)
    return time.monotonic() - began


def follow(server: Server, key: str, job: str, soak: Soak, sockets: list[socket.socket]) -> None:
    """Open a followed log on a plain socket: 200 client threads would measure the client."""
    following = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    ask = f"GET /api/v1/jobs/{job}/logs?follow=true HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {key}\r\n\r\n"
    following.sendall(ask.encode())
    head = following.recv(65536)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"a follower was refused: {head[:300]!r}")
    following.setblocking(False)
    sockets.append(following)
    soak.followers += 1


def read_followed(sockets: list[socket.socket], soak: Soak, ended: threading.Event) -> None:
    """Take what the followed logs bring."""
    while not ended.wait(0.5):
        for following in sockets:
            with contextlib.suppress(BlockingIOError):
                part = following.recv(1 << 20)
                soak.followed_bytes += len(part)
                if not part:
                    soak.failures.append("a followed log ended")
                    sockets.remove(following)


def run(server: Server, seconds: float, drain_s: float) -> tuple[Soak, dict[str, float]]:
    """The whole soak. Returns what was seen, and memory (MB) and descriptors before and after."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    greedy, other = Tenant(server, "greedy"), Tenant(server, "other")
    with server.http(server.keys["system"]) as system:
        _json(system.put("/quotas", json={"org": "greedy", "resource": "cards", "maximum": GREEDY_CARDS}))
    soak, ended = Soak(), threading.Event()
    sockets: list[socket.socket] = []
    _load(greedy, other, Soak(), min(30.0, seconds / 4))  # warm-up: caches, pools, compiled kernels
    _drain(greedy, drain_s)
    figures = {"rss_before": process.memory_info().rss / 1e6, "descriptors_before": process.num_fds()}
    with greedy.http() as http:
        followed = [str(_json(http.post("/jobs", json=LONG))["id"]) for _ in range(10)]
    for number in range(FOLLOWERS):
        follow(server, greedy.key, followed[number % len(followed)], soak, sockets)
    reader = threading.Thread(target=read_followed, args=(sockets, soak, ended))
    reader.start()
    cpu = process.cpu_times()
    time.sleep(5)
    figures["idle_followers_cpu"] = (sum(process.cpu_times()[:2]) - sum(cpu[:2])) / 5
    _load(greedy, other, soak, seconds)
    ended.set()
    reader.join()
    for following in sockets:
        following.close()
    _drain(greedy, drain_s)
    time.sleep(3)
    return soak, figures | {
        "rss_after": process.memory_info().rss / 1e6,
        "descriptors_after": process.num_fds(),
    }


def _load(greedy: Tenant, other: Tenant, soak: Soak, seconds: float) -> None:
    ended = threading.Event()
    works: list[tuple[Callable[..., None], Tenant]] = [(submit_without_rest, greedy)] * SUBMITTERS
    threads = [
        threading.Thread(target=work, args=(tenant, soak, ended))
        for work, tenant in [*works, (submit_and_wait, other)]
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    ended.set()
    for thread in threads:
        thread.join(120)


def _drain(tenant: Tenant, within_s: float) -> None:
    """Cancel whatever of the tenant has not ended, and wait until it has."""
    until = time.monotonic() + within_s
    with tenant.http() as http:
        while time.monotonic() < until:
            left = [
                job["id"]
                for state in ("queued", "running")
                for job in _json(http.get("/jobs", params={"state": state, "limit": 500}))["items"]
            ]
            if not left:
                return
            with ThreadPoolExecutor(SUBMITTERS) as senders:
                list(senders.map(lambda job: http.post(f"/jobs/{job}/cancel"), left))
    print(f"not drained within {within_s:.0f} s")


def _quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def report(soak: Soak, figures: dict[str, float], seconds: float) -> bool:
    """Print the figures; whether they are as they should be."""
    starts = soak.starts_s or [float("inf")]
    placed = soak.placed_s or [float("inf")]
    p95 = _quantile(starts, 0.95)
    growth = figures["rss_after"] - figures["rss_before"]
    opened = figures["descriptors_after"] - figures["descriptors_before"]
    print(f"{seconds:.0f} s: {soak.submitted:,} jobs submitted by the greedy tenant ({soak.submitted / seconds:.0f}/s),"
          f" {soak.turned_away} turned away; {soak.followers} followers got {soak.followed_bytes:,} bytes")  # fmt: skip
    print(f"200 idle followers cost {figures['idle_followers_cpu']:.0%} of a core")
    checks = (
        (f"other tenant: submit to running p50 {_quantile(starts, 0.5):.2f} s, p95 {p95:.2f} s of {len(starts)}"
         f" (<= {P95_S:g}); submit to placed p50 {_quantile(placed, 0.5):.2f} s, p95 {_quantile(placed, 0.95):.2f} s",
         p95 <= P95_S),
        (f"memory {figures['rss_before']:.0f} MB after warm-up, {figures['rss_after']:.0f} MB after draining"
         f" (<= {GROWTH_MB:g} more)", growth <= GROWTH_MB),
        (f"descriptors {figures['descriptors_before']:.0f} before, {figures['descriptors_after']:.0f} after",
         opened <= DESCRIPTORS_SPARE),
        (f"{len(soak.failures)} failures {soak.failures[:3]}", not soak.failures),
    )  # fmt: skip
    for line, held in checks:
        print(f"{'met   ' if held else 'MISSED'} {line}")
    return all(held for _, held in checks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--drain-s", type=float, default=900.0, help="time given to the end of all jobs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pearl-soak-") as folder:
        server = Server(Path(folder) / "data", "--simulate", "16x8xH100-80G")
        try:
            server.start()
            soak, figures = run(server, options.minutes * 60, options.drain_s)
        finally:
            server.clean_up()
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
    sys.exit(0 if report(soak, figures, options.minutes * 60) else 1)


if __name__ == "__main__":
    main()
