"""Tenants of a center that is killed again and again. They remember whatever was acknowledged or shown to them."""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.crash.server import ORG, Server

ENDED = frozenset({"succeeded", "failed", "cancelled"})
OUTSTANDING_MAX = 24

RUN = """echo "$PEARL_ATTEMPT_ID $PEARL_RANK" >> "$PEARL_OUTPUTS/ran-$PEARL_RANK"
for i in 1 2 3 4 5 6; do echo "line $i of $PEARL_ATTEMPT_ID"; sleep {pause}; done
{end}"""
"""Marks each execution in a file of the attempt's own, then writes a log for a while."""
FLIP = "exit $(( $(date +%N | cut -c6) % 2 ))"


@dataclass
class Memory:
    """What the center has promised."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Acknowledged job → its specification."""
    names: set[str] = field(default_factory=set)
    unsure: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    """Submits whose answer was lost, with their idempotency keys."""
    cancelled: set[str] = field(default_factory=set)
    """Jobs whose cancel was acknowledged while they were alive."""
    ended: dict[str, str] = field(default_factory=dict)
    """Job → the end that was shown."""
    logs: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """(attempt, rank) → what was read of its log."""
    log_jobs: dict[tuple[str, int], str] = field(default_factory=dict)
    top_ups: set[str] = field(default_factory=set)
    lines: set[str] = field(default_factory=set)
    """Ids of the statement's lines that were shown."""
    artefacts: dict[str, str] = field(default_factory=dict)
    """Artefact → digest."""


class Load:
    """Threads of clients over one server. `stop` ends them; they live through kills of the server."""

    def __init__(self, server: Server, memory: Memory, seed: int, *, simulated: bool) -> None:
        self.server, self.memory, self.simulated = server, memory, simulated
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.errors: list[BaseException] = []
        work = (self._submit, self._submit, self._cancel, self._read, self._read, self._pay)
        self._threads = [threading.Thread(target=self._run, args=(step,), daemon=True) for step in work]

    def start(self) -> None:
        """Let the clients loose."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End them. Raises what one of them found wrong."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]

    def settle_unsure(self) -> None:
        """Repeat every submit whose answer was lost, under the same key: it must be answered, and be one job."""
        with self.server.tenant() as http:
            while self.memory.unsure:
                with self._lock:
                    spec, key = self.memory.unsure.pop(0)
                self._send(http, spec, key)

    def _run(self, step: Any) -> None:
        with self.server.tenant() as http:
            while not self._over.is_set():
                try:
                    step(http)
                except httpx.TransportError:
                    self._over.wait(0.05)
                except BaseException as error:
                    self.errors.append(error)
                    return
                self._over.wait(self._rng.uniform(0.02, 0.2))

    def _submit(self, http: httpx.Client) -> None:
        memory = self.memory
        if len(memory.jobs) - len(memory.ended) > OUTSTANDING_MAX:
            return
        self._send(http, self._spec(), str(uuid.uuid4()))

    def _send(self, http: httpx.Client, spec: dict[str, Any], key: str) -> None:
        try:
            answer = http.post("/jobs", json=spec, headers={"idempotency-key": key})
        except httpx.TransportError:
            with self._lock:
                self.memory.unsure.append((spec, key))
            raise
        if answer.status_code in (
            409,
            503,
        ):  # the job it was to depend on has failed; or the server is going down
            return
        assert answer.status_code == 201, answer.text
        with self._lock:
            self.memory.jobs[answer.json()["id"]] = spec
            self.memory.names.add(spec["name"])

    def _spec(self) -> dict[str, Any]:
        rng = self._rng
        spec: dict[str, Any] = {"name": f"j{uuid.uuid4().hex[:20]}", "time_limit": "5m"}
        spec["limits"] = {"grace": 1}
        kind = rng.choice(("plain", "plain", "plain", "gang", "array", "retry", "long", "after"))
        pause, end = rng.choice(("0.05", "0.2")), "exit 0"
        if kind == "gang":
            spec["tasks"] = rng.choice((2, 3))
        if kind == "array":
            spec["array"] = {"size": rng.choice((2, 4)), "max_running": 2}
        if kind == "retry":
            spec["retries"], end = 3, FLIP
        if kind == "long":
            pause = "1"
        if kind == "after" and self.memory.jobs:
            on = rng.choice(list(self.memory.jobs))
            spec["depends_on"] = [{"job": on, "condition": rng.choice(("ended", "succeeded"))}]
        if self.simulated:
            count = rng.choice((1, 1, 2, 4, 8))
            spec |= {"command": ["train"], "simulate": f"{8 * float(pause) + 0.3:.1f}s"}
            spec["per_task"] = {"accelerator": "H100", "count": count, "cpus": 1, "memory_gib": 1}
        else:
            spec["command"] = ["/bin/sh", "-c", RUN.format(pause=pause, end=end)]
            spec["per_task"] = {"cpus": 0.1, "memory_gib": 0.25}
        return spec

    def _alive(self) -> str | None:
        with self._lock:
            alive = [job for job in self.memory.jobs if job not in self.memory.ended]
        return self._rng.choice(alive) if alive else None

    def _cancel(self, http: httpx.Client) -> None:
        job = self._alive()
        if job is None or self._rng.random() > 0.15:
            return
        before = http.get(f"/jobs/{job}").json()["state"]
        answer = http.post(f"/jobs/{job}/cancel")
        assert answer.status_code == 200, answer.text
        if before not in ENDED and answer.json()["state"] not in ("succeeded", "failed"):
            self.memory.cancelled.add(job)

    def _read(self, http: httpx.Client) -> None:
        job = self._alive()
        if job is None:
            return
        found = http.get(f"/jobs/{job}")
        assert found.status_code == 200, f"{job}: {found.text}"
        now = found.json()
        if now["state"] in ENDED:
            self._keep_artefacts(http, job)
            self.memory.ended[job] = now["state"]
        if now["attempt_id"] and not self.simulated:
            self._keep_log(http, job, now["attempt_id"])
        lines = http.get(f"/orgs/{ORG}/statement", params={"limit": 100})
        if lines.status_code == 200:
            self.memory.lines |= {line["id"] for line in lines.json()["items"]}

    def _keep_log(self, http: httpx.Client, job: str, attempt: str) -> None:
        answer = http.get(f"/jobs/{job}/logs", params={"attempt": attempt, "rank": 0})
        if answer.status_code != 200:
            return
        key, before = (attempt, 0), self.memory.logs.get((attempt, 0), b"")
        assert answer.content.startswith(before) or before.startswith(answer.content), "a log changed"
        self.memory.log_jobs[key] = job
        self.memory.logs[key] = max(before, answer.content, key=len)

    def _keep_artefacts(self, http: httpx.Client, job: str) -> None:
        for item in http.get(f"/jobs/{job}/artefacts").json()["items"]:
            self.memory.artefacts[item["id"]] = item["sha256"]

    def _pay(self, http: httpx.Client) -> None:
        with self.server.http(self.server.keys["system"]) as system:
            answer = system.post(f"/orgs/{ORG}/credit", json={"amount": "1", "memo": "more"})
        if answer.status_code == 201:
            self.memory.top_ups.add(answer.json()["id"])
        time.sleep(0.3)
