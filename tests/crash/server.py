"""A real center in a process of its own: start it, kill it, talk to it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from pearlstreet.compute.engines.local.supervisor import files

START_WITHIN_S = 90.0
ORG = "acme"
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Given to clients that speak plain HTTP: reading the machine's authorities for each takes longer than what it asks."""


def free_port() -> int:
    """A port nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """One data folder and, at most, one server over it."""

    def __init__(self, data: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.options = list(options)
        self.environment = dict(environment or {})
        self.keys: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        data.mkdir(parents=True, exist_ok=True)

    def start(self, entry: Sequence[str] = ("-m", "pearlstreet.app"), **extra: str) -> None:
        """Start it and wait until it answers. The first start's keys are kept in `keys`."""
        self.launch(entry, **extra)
        assert self.wait_ready(), self.words()

    def launch(self, entry: Sequence[str] = ("-m", "pearlstreet.app"), **extra: str) -> None:
        """Start it without waiting."""
        self._reader, writer = os.pipe()
        arguments = ["up", "--data", str(self.data), "--port", str(self.port), "--idle", *self.options]
        environment = {**os.environ, **self.environment, **extra, "PEARL_READY_FD": str(writer)}
        with (self.data / "words").open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, *entry, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                pass_fds=(writer,),
                env=environment,
            )
        os.close(writer)

    def wait_ready(self) -> bool:
        """Whether it came to answer; False when it ended before."""
        told, until = b"", time.monotonic() + START_WITHIN_S
        with os.fdopen(self._reader, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
                chunk = pipe.read(65536)
                if not chunk:
                    break
                told += chunk
            else:
                raise AssertionError(f"no answer within {START_WITHIN_S} s: {self.words()}")
        if not told:
            assert self.process is not None
            self.process.wait(START_WITHIN_S)
            return False
        keys = json.loads(told)["keys"]
        self.keys |= keys or {}
        return True

    def words(self) -> str:
        """Everything it wrote to its terminal so far."""
        return (self.data / "words").read_text(errors="replace")

    def log(self) -> list[dict[str, Any]]:
        """Its own log."""
        lines = (self.data / "log" / "server.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def kill(self) -> None:
        """kill -9."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGTERM, within_s: float = 60) -> int:
        """Send a signal, wait for the end; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(within_s)

    def refused(self, **extra: str) -> str:
        """Start it where it must refuse to start; what it said."""
        before = len(self.words()) if (self.data / "words").exists() else 0
        self.launch(**extra)
        assert not self.wait_ready(), "it started"
        assert self.process is not None
        assert self.process.wait(START_WITHIN_S) != 0
        said = self.words()[before:]
        assert "Traceback" not in said, said
        return " ".join(said.split())

    # -- talking to it

    def http(self, key: str = "") -> httpx.Client:
        """A client under /api/v1 with a key."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30, verify=NO_AUTHORITIES)

    def make_tenant(self, yuan: str = "9000") -> None:
        """An organisation with a balance; its owner's key becomes `keys["tenant"]`."""
        with self.http(self.keys["system"]) as system, self.http(self.keys["security"]) as security:
            _right(system.post("/orgs", json={"slug": ORG, "name": "Acme"}))
            made = _right(security.post("/users", json={"name": "ann", "org": ORG, "role": "owner"}))
            _right(system.post(f"/orgs/{ORG}/credit", json={"amount": yuan, "memo": "first"}))
        password = "correct horse battery staple"
        with self.http() as anyone:
            token = made["token"]
            _right(anyone.post("/set-password", json={"token": token, "password": password}))
            signed_in = _right(anyone.post("/sign-in", json={"name": "ann", "password": password}))
        with self.http(signed_in["token"]) as person:
            key = _right(person.post("/keys", json={"label": "test", "org": ORG}))
        self.keys["tenant"] = key["key"]

    def tenant(self) -> httpx.Client:
        """The tenant's client."""
        return self.http(self.keys["tenant"])

    def submit(self, **spec: Any) -> str:
        """Submit a job that must be taken; its id."""
        with self.tenant() as http:
            return str(_right(http.post("/jobs", json=spec))["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now."""
        with self.tenant() as http:
            return _right(http.get(f"/jobs/{job_id}"))

    def wait(self, job_id: str, *states: str, within_s: float = 120) -> dict[str, Any]:
        """A job once it is in one of these states (an end, when none is named)."""
        wanted = states or ("succeeded", "failed", "cancelled")
        until = time.monotonic() + within_s
        while (found := self.job(job_id))["state"] not in wanted:
            assert time.monotonic() < until, f"still {found['state']}: {found}"
            time.sleep(0.05)
        return found

    def log_of(self, job_id: str, rank: int = 0) -> bytes:
        """The newest attempt's log."""
        with self.tenant() as http:
            answer = http.get(f"/jobs/{job_id}/logs", params={"rank": rank})
        assert answer.status_code == 200, answer.text
        return answer.content

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of its database, read beside it."""
        with closing(sqlite3.connect(self.data / "pearl.db", timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]

    def prove(self) -> None:
        """Its books and its audit log are right, by its own word."""
        with self.http(self.keys["audit"]) as auditor:
            books = _right(auditor.get("/ledger/proof"))
            assert books["is_right"], books
            chain = _right(auditor.get("/audit/verify"))
            assert chain["is_right"], chain

    # -- what its local engine left on disk

    @property
    def attempts(self) -> Path:
        """Where the local engine keeps attempts."""
        return self.data / "local" / "attempts"

    def supervisors(self) -> dict[str, tuple[int, int]]:
        """Attempt → (pid, start) of every supervisor that is alive."""
        found = {}
        for folder in self.attempts.iterdir() if self.attempts.is_dir() else ():
            launched = files.read_json(str(folder), files.LAUNCHED)
            if launched and _lives(launched["pid"], launched["start_ticks"]):
                found[folder.name] = (int(launched["pid"]), int(launched["start_ticks"]))
        return found

    def wait_alone(self, within_s: float = 30) -> dict[str, tuple[int, int]]:
        """The supervisors left once they had time to leave: they write the end down before they go."""
        until = time.monotonic() + within_s
        while (left := self.supervisors()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    def clean_up(self) -> None:
        """End the server and whatever supervisors are left."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for pid, _ in self.supervisors().values():
            os.kill(pid, signal.SIGTERM)
        for pid, _ in self.wait_alone(15).values():
            os.kill(pid, signal.SIGKILL)


def _lives(pid: int, start_ticks: int) -> bool:
    """Whether this very process is there and is more than a zombie that nobody has reaped yet."""
    found = files.stat_fields(pid)
    return found is not None and int(found[1][19]) == start_ticks and found[1][0] not in "ZX"


def _right(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code < 300, f"{answer.request.method} {answer.request.url}: {answer.text}"
    found: dict[str, Any] = answer.json()
    return found
