"""The console: the first page in Chromium with nothing cached, and 200 people who look at it while jobs come.

Bounds: 1.5 s to the load event and 3 MB transferred; 600 MB of the server's memory, and for 95 of 100 people at most
1 s from the moment a job is committed in what they look at to the moment its part of their page is in hand. Each of
them signed in, holds the page's event stream open and asks for the part when it is told to, no sooner than 0.7 s after
the last time, as the page's script does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from center import (
    PASSWORD,
    Center,
    Wire,
    arguments,
    center,
    median,
    percentile,
    print_machine,
    request,
    scratch,
    verdict,
)
from results_table import record

CHROMIUM = "/usr/bin/chromium"
ROOMS = ("--simulate", "16x8xH100-80G,4x8xAscend910B", "--simulate-speed", "60")
SESSIONS, ORGS, OPERATORS = 200, 19, 10
APART_S = 0.7
LOAD_S, BYTES, RSS_MB, UPDATE_S = 1.5, 3e6, 600, 1.0
WITHIN_S = 30.0


@dataclass(frozen=True)
class Crowd:
    """Who looks: a name for each session, and the keys to submit with by organisation."""

    port: int
    names: tuple[str, ...]
    keys: dict[str, str]
    """Organisation → its owner's key. The owner is named after it."""
    jobs: int
    every_s: float


@dataclass
class Looker:
    """One session: what it saw, and when."""

    name: str
    http: httpx.AsyncClient
    tag: str = ""
    asked: int = 0
    unchanged: int = 0
    seen: dict[str, float] = field(default_factory=dict)

    async def look(self, names: dict[str, float]) -> None:
        """Ask for the part once; note which of the jobs in `names` it shows."""
        headers = {"x-part": "now"} | ({"if-none-match": self.tag} if self.tag else {})
        answer = await self.http.get("/", headers=headers)
        now = time.perf_counter()
        self.asked += 1
        if answer.status_code == 304:
            self.unchanged += 1
            return
        if answer.status_code != 200:
            raise SystemExit(f"{answer.status_code} {answer.text[:200]}")
        self.tag = answer.headers["etag"]
        for name in names:
            if name not in self.seen and f">{name}<" in answer.text:
                self.seen[name] = now

    async def follow(self, names: dict[str, float], ready: asyncio.Event) -> None:
        """Hold the stream open; ask whenever it says so."""
        changed = asyncio.Event()

        async def refresh() -> None:
            while True:
                await changed.wait()
                changed.clear()
                began = time.perf_counter()
                await self.look(names)
                await asyncio.sleep(max(0.0, began + APART_S - time.perf_counter()))

        task = asyncio.create_task(refresh())
        try:
            async with self.http.stream("GET", "/live", timeout=None) as stream:
                async for line in stream.aiter_lines():
                    if line == "event: hello":
                        ready.set()
                    elif line == "event: changed":
                        changed.set()
        finally:
            task.cancel()


def main() -> None:
    options = arguments(__doc__)
    print_machine()
    sessions, jobs, loads = (10, 4, 1) if options.quick else (SESSIONS, 120, 5)
    with scratch(options.folder) as folder, center(folder / "center", *ROOMS) as running:
        asyncio.run(fill(running, 12))
        for line in first_pages(running, loads):
            print(line)
        keys = asyncio.run(make_orgs(running, 3 if options.quick else ORGS))
        operators = min(OPERATORS, sessions // 5)
        owners = sorted(keys)
        names = ["system"] * operators + [
            owners[number % len(owners)] for number in range(sessions - operators)
        ]
        crowd = Crowd(running.port, tuple(names), keys, jobs, 1.0)
        before_mb, cpu_s, began = running.rss_mb, running.cpu_s, time.perf_counter()
        process = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=process) as pool:
            found = pool.submit(look, crowd).result()
        busy = (running.cpu_s - cpu_s) / (time.perf_counter() - began)
        report(found, sessions, before_mb, running.rss_mb, busy)


def report(found: dict[str, Any], sessions: int, before_mb: float, rss_mb: float, busy: float) -> None:
    """Figures beside their bounds."""
    waits = found["waits"]
    if found["missed"]:
        raise SystemExit(f"{found['missed']} updates never came")
    print(
        f"{sessions} sessions: {rss_mb:.0f} MB (before them {before_mb:.0f}), {verdict(rss_mb, RSS_MB, at_most=True)} MB"
    )
    p95 = percentile(waits, 95)
    print(
        f"  from commit to the part in hand: p50 {median(waits):.2f} s, p95 {p95:.2f} s, "
        f"p99 {percentile(waits, 99):.2f} s, {verdict(p95, UPDATE_S, at_most=True)} s; {len(waits)} updates"
    )
    record(f"console: memory with {sessions} sessions", rss_mb, "MB", "at most", RSS_MB)
    record("console: p95 from commit to the part in hand", p95, "s", "at most", UPDATE_S)
    print(
        f"  {found['asked_per_s']:.0f} parts/s asked for, {found['unchanged']:.0%} unchanged; "
        f"{busy:.0%} of a core; sign-in {found['sign_in_s']:.2f} s each"
    )


# -- the first page


def first_pages(running: Center, rounds: int) -> list[str]:
    """Sign-in page and an operator's overview, each in a browser that never saw the center."""
    if not Path(CHROMIUM).exists():
        return [f"first page: not measured, there is no {CHROMIUM}"]
    from playwright.sync_api import sync_playwright

    url, told = f"http://127.0.0.1:{running.port}", []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(f"{url}/sign-in")
            page.fill("#f-name", "system")
            page.fill("#f-password", PASSWORD)
            page.click("button[value=in]")
            page.wait_for_selector("details.menu")
            state = context.storage_state()
        for label, path, cookies in (("sign-in", "/sign-in", None), ("overview", "/", state)):
            seconds, sizes = [], []
            for _ in range(rounds):
                with browser.new_context(storage_state=cookies) as context:
                    page = context.new_page()
                    page.goto(url + path, wait_until="load")
                    page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
                    entries = page.evaluate(
                        "() => [...performance.getEntriesByType('navigation'),"
                        " ...performance.getEntriesByType('resource')].map((one) => one.toJSON())"
                    )
                seconds.append(entries[0]["loadEventEnd"] / 1000)
                sizes.append(sum(entry["transferSize"] for entry in entries))
            took, size = median(seconds), max(sizes)
            record(f"first page to the load event, {label}", took, "s", "at most", LOAD_S)
            record(f"first page transferred, {label}", size / 1e6, "MB", "at most", BYTES / 1e6)
            told.append(
                f"first page, {label}: load event after {took:.2f} s, {verdict(took, LOAD_S, at_most=True)} s; "
                f"{size / 1e6:.3f} MB, {verdict(size / 1e6, BYTES / 1e6, at_most=True)} MB"
            )
        browser.close()
    return told


# -- the center and its people


async def _call(wire: Wire, method: str, path: str, key: str, body: Any = None) -> Any:
    status, answer = await wire.ask(request(method, path, key, body))
    if status >= 300:
        raise SystemExit(f"{method} {path}: {status} {answer!r}")
    return json.loads(answer) if answer else None


async def fill(running: Center, count: int) -> None:
    """Jobs that run and wait, and a password for the system operator."""
    wire = await Wire.open(running.port)
    link = await _call(wire, "POST", "/users/system/password-link", running.keys["security"])
    await _call(wire, "POST", "/set-password", "", {"token": link["token"], "password": PASSWORD})
    for number in range(count):
        per_task = {"accelerator": "h100-80g", "count": 8, "cpus": 1, "memory_gib": 1}
        spec = {
            "name": f"runs-{number}",
            "command": ["true"],
            "per_task": per_task,
            "simulate": "20h",
            "time_limit": "1d",
        }
        await _call(wire, "POST", "/jobs?org=acme", running.key, spec)
    wire.close()


async def make_orgs(running: Center, count: int) -> dict[str, str]:
    """Organisations whose owners carry their names."""
    wire, keys = await Wire.open(running.port), {}
    for number in range(count):
        slug = f"lab-{number:02d}"
        await _call(wire, "POST", "/orgs", running.keys["system"], {"slug": slug})
        invited = {"name": slug, "org": slug, "role": "owner"}
        link = (await _call(wire, "POST", "/users", running.keys["security"], invited))["token"]
        await _call(wire, "POST", "/set-password", "", {"token": link, "password": PASSWORD})
        session = (await _call(wire, "POST", "/sign-in", "", {"name": slug, "password": PASSWORD}))["token"]
        keys[slug] = (await _call(wire, "POST", "/keys", session, {}))["key"]
        await _call(
            wire, "PUT", f"/orgs/{slug}/credit-limit", running.keys["system"], {"credit_limit": "1000000"}
        )
    wire.close()
    return keys


# -- in a process of its own: everybody who looks


def look(crowd: Crowd) -> dict[str, Any]:
    """Sign everybody in, submit jobs, and measure what each of them sees of it."""
    os.environ.pop("http_proxy", None)
    return asyncio.run(_look(crowd))


async def _look(crowd: Crowd) -> dict[str, Any]:
    committed: dict[str, float] = {}
    began = time.perf_counter()
    lookers = [Looker(name, await _sign_in(crowd.port, name)) for name in crowd.names]
    sign_in_s = (time.perf_counter() - began) / len(lookers)
    ready = [asyncio.Event() for _ in lookers]
    tasks = [
        asyncio.create_task(looker.follow(committed, event))
        for looker, event in zip(lookers, ready, strict=True)
    ]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), WITHIN_S)
    for looker in lookers:
        await looker.look({})
    asked, began = sum(looker.asked for looker in lookers), time.perf_counter()
    waits, missed = await _submit(crowd, lookers, committed)
    took = time.perf_counter() - began
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for looker in lookers:
        await looker.http.aclose()
    asked_now = sum(looker.asked for looker in lookers) - asked
    return {
        "waits": waits,
        "missed": missed,
        "asked_per_s": asked_now / took,
        "unchanged": sum(looker.unchanged for looker in lookers) / max(1, asked_now),
        "sign_in_s": sign_in_s,
    }


async def _sign_in(port: int, name: str) -> httpx.AsyncClient:
    http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)
    answer = await http.post("/sign-in", data={"do": "in", "name": name, "password": PASSWORD})
    if answer.status_code != 303 or "pearl_session" not in http.cookies:
        raise SystemExit(f"{name} cannot sign in: {answer.status_code}")
    return http


async def _submit(
    crowd: Crowd, lookers: list[Looker], committed: dict[str, float]
) -> tuple[list[float], int]:
    """One job after the other, each in the next organisation; (how long each looker waited, how many never saw it)."""
    wire, orgs, expected = await Wire.open(crowd.port), sorted(crowd.keys), {}
    began = time.perf_counter()
    for number in range(crowd.jobs):
        org, name = orgs[number % len(orgs)], f"job-{number:04d}"
        spec = {
            "name": name,
            "command": ["true"],
            "simulate": "30m",
            "per_task": {"cpus": 1, "memory_gib": 1},
        }
        committed[name] = float("inf")  # looked for from now on
        await _call(wire, "POST", f"/jobs?org={org}", crowd.keys[org], spec)
        committed[name] = time.perf_counter()
        expected[name] = [looker for looker in lookers if looker.name in (org, "system")]
        await asyncio.sleep(max(0.0, began + (number + 1) * crowd.every_s - time.perf_counter()))
    ends = time.perf_counter() + WITHIN_S
    while time.perf_counter() < ends:
        missed = sum(name not in looker.seen for name, those in expected.items() for looker in those)
        if not missed:
            break
        await asyncio.sleep(0.1)
    wire.close()
    waits = [
        looker.seen[name] - committed[name]
        for name, those in expected.items()
        for looker in those
        if name in looker.seen
    ]
    return waits, missed


if __name__ == "__main__":
    main()
