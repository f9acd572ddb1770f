"""A real center in a process of its own, with people who have passwords, and jobs of every kind a page may show."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

PASSWORD = "correct horse battery staple"
SIMULATED = ("--simulate", "16x8xH100-80G,4x8xAscend910B", "--simulate-speed", "20")
START_WITHIN_S = 120.0
WITHIN_S = 120.0
OPERATORS = ("system", "security", "audit")
TENANTS = ("owner", "viewer")
CARD = """---
license: apache-2.0
language: [en, zh]
pipeline_tag: image-classification
library_name: transformers
tags: [digits, 手写数字]
---
# digits-28

28 × 28 7

|0|1|
|-:|-:|
|2|3|

```
4 5 6
```
"""
"""Numbers and codes only: a test looks for English words on Chinese pages."""
LABELS = "label,0\n" + "".join(f"{number % 10},{number * 0.5}\n" for number in range(40))
ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Center:
    """A running center: where it is, and its API as any of its people."""

    url: str
    http: httpx.Client
    keys: dict[str, str] = field(default_factory=dict)
    """By login name."""
    jobs: dict[str, str] = field(default_factory=dict)
    """Ids of the jobs that were submitted first, by name."""
    things: dict[str, str] = field(default_factory=dict)
    """What else can be named in an address, by the name it has there."""

    def call(self, method: str, path: str, who: str | None = "owner", **options: Any) -> Any:
        """One call of the API; its JSON."""
        headers = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        answer = self.http.request(method, f"/api/v1{path}", headers=headers, **options)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def submit(self, name: str, who: str = "owner", **more: Any) -> str:
        """A job's id."""
        spec = {
            "name": name,
            "command": ["python", "train.py"],
            "per_task": {"cpus": 1, "memory_gib": 1},
            "time_limit": "12h",
            "variables": {"SIMULATE_EXIT_CODE": "0"},
            **more,
        }
        return str(self.call("POST", "/jobs", who, json=spec)["id"])

    def until(self, job: str, *states: str) -> dict[str, Any]:
        """Wait for a state of a job."""
        ends = time.monotonic() + WITHIN_S
        while True:
            found: dict[str, Any] = self.call("GET", f"/jobs/{job}")
            if found["state"] in states:
                return found
            assert time.monotonic() < ends, found
            time.sleep(0.1)


@contextmanager
def running(data: Path, *options: str) -> Iterator[Center]:
    """`pearl up`, ended with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pearlstreet.app", "up", "--data", str(data), "--port", str(port)]
    with (data / "up.log").open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--idle", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PEARL_LANGUAGE": "en"},
        )
    try:
        keys = _first_keys(process, data / "up.log")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            yield Center(f"http://127.0.0.1:{port}", http, keys)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _first_keys(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    assert process.stdout is not None
    ends, told = time.monotonic() + START_WITHIN_S, b""
    while time.monotonic() < ends:
        line = process.stdout.readline()
        told += line
        with suppress(ValueError):
            found: dict[str, str] = json.loads(told)["keys"]
            return found
        if not line:
            break
    raise AssertionError(f"the center did not start:\n{log.read_text()[-3000:]}")


def make_people(center: Center) -> None:
    """Passwords for the three operators; acme with an owner and a viewer, and money."""
    center.call("POST", "/orgs", "system", json={"slug": "acme", "name": "Acme"})
    for name in OPERATORS:
        token = center.call("POST", f"/users/{name}/password-link", "security")["token"]
        center.call("POST", "/set-password", None, json={"token": token, "password": PASSWORD})
    for name in TENANTS:
        person = {"name": name, "org": "acme", "role": name}
        token = center.call("POST", "/users", "security", json=person)["token"]
        center.call("POST", "/set-password", None, json={"token": token, "password": PASSWORD})
        session = center.call("POST", "/sign-in", None, json={"name": name, "password": PASSWORD})["token"]
        center.keys[name] = session
        center.keys[name] = center.call("POST", "/keys", name, json={"org": "acme"})["key"]
    center.call("POST", "/orgs/acme/credit", "system", json={"amount": "10000"})
    center.call("PUT", "/orgs/acme/credit-limit", "system", json={"credit_limit": "1000000"})


def make_busy(center: Center) -> None:
    """One of everything: running, waiting, an array, ended well and badly, cancelled; a drained node, a quota, a quote."""
    cards = {"accelerator": "h100-80g", "cpus": 4, "memory_gib": 32}
    jobs = center.jobs
    jobs["pretrain"] = center.submit("pretrain", tasks=2, per_task={**cards, "count": 8}, simulate="11h")
    jobs["evaluate"] = center.submit(
        "evaluate",
        per_task={"accelerator": "ascend-910b1", "count": 4, "cpus": 2, "memory_gib": 8},
        simulate="11h",
    )
    jobs["huge"] = center.submit("huge", tasks=15, per_task={**cards, "count": 8}, simulate="1h")
    jobs["sweep"] = center.submit("sweep", array={"size": 3}, simulate="11h")
    jobs["short"] = center.submit("short", simulate="20s")
    jobs["broken"] = center.submit("broken", variables={"SIMULATE_EXIT_CODE": "3"}, simulate="20s")
    jobs["unwanted"] = center.submit("unwanted", simulate="11h")
    center.call("POST", f"/jobs/{jobs['unwanted']}/cancel")
    center.call("POST", "/nodes/h100-0016/drain", "system", json={"reason": "memory errors"})
    quota = {"org": "acme", "resource": "cards", "maximum": 100}
    center.call("PUT", "/quotas", "system", json=quota)
    prices, balance = center.call("GET", "/prices/current"), center.call("GET", "/orgs/acme/statement")
    center.things["number"] = str(prices["number"])
    assert balance["items"], "there is something to state"
    center.things["month"] = datetime.now(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m")
    question = {"policies": ["fifo"], "extra": "1x8xH100-80G"}
    center.things["what_if"] = center.call("POST", "/what-ifs?org=acme", json=question)["id"]
    center.call("POST", "/hub", json={"name": "acme/digits", "visibility": "public"})
    commit_files(center, "models/acme/digits", {"README.md": CARD.encode(), "labels.csv": LABELS.encode()})
    center.things |= {"repo_type": "model", "repo_org": "acme", "repo_name": "digits"}
    _state_energy(center)
    work = {"kind": "train", "mode": "lora", "model": {"name": "Llama 3.1 8B"}, "tokens": 1e7}
    tune = {"name": "tune", "command": ["python", "tune.py"], "simulate": "11h"}
    quote = center.call("POST", "/quotes", json={"workload": work, "job": tune})["id"]
    center.call("POST", f"/quotes/{quote}/accept", json={"offer": "cheapest"})
    larger = {**work, "mode": "full", "tokens": 5e8}
    still_open = center.call("POST", "/quotes", json={"workload": larger, "job": tune})["id"]
    center.things |= {"quote": quote, "open_quote": still_open, "scenario": "1t-50-days"}
    for name in ("pretrain", "evaluate"):
        center.until(jobs[name], "running")
    for name in ("short", "broken", "unwanted"):
        center.until(jobs[name], *ENDED)


def commit_files(center: Center, repo: str, files: Mapping[str, bytes], who: str = "owner") -> None:
    """Commit small files, as the official clients do."""
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "Add files"}}]
    for path, content in files.items():
        value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
        lines.append({"key": "file", "value": value})
    answer = center.http.post(
        f"/hf/api/{repo}/commit/main",
        headers={"authorization": f"Bearer {center.keys[who]}"},
        content="\n".join(json.dumps(line) for line in lines).encode(),
    )
    assert answer.status_code == 200, answer.text


def _state_energy(center: Center) -> None:
    """Facts of the site with a carbon factor for each hour: less at noon, as where the sun shines."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=14)
    hours = [midnight + timedelta(hours=number) for number in range(24 * 14)]
    rows = [f"{hour.isoformat()},{320 if 2 <= hour.hour < 8 else 610}" for hour in hours]
    source = {"source": "grid operator", "as_of": "2026-01-31"}
    series = {"name": "grid", "kind": "carbon", "csv": "\n".join(["from,g_per_kwh", *rows]), **source}
    center.call("POST", "/energy/series", "system", json=series)
    facts = {
        "pue": {"value": 1.25, **source},
        "tariff": {"kind": "flat", "yuan_per_kwh": "0.65", **source},
        "carbon": {"kind": "hourly", "series": "grid", **source},
        "valid_from": hours[0].isoformat(),
    }
    center.call("POST", "/energy/facts", "system", json=facts)
