"""A real server on a real PostgreSQL: a day's work, PostgreSQL restarted under load, two servers on one database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from pearlstreet.compute.engines.local.supervisor import files
from tests.crash import checks
from tests.crash.load import Load, Memory
from tests.crash.server import ORG, Server
from tests.engines_present import Postgres

FAST = {"PEARL_METER_INTERVAL_S": "0.4", "PEARL_HOLD_WINDOW_S": "3", "PEARL_START_TIMEOUT_S": "8"}
SHELL = {"per_task": {"cpus": 0.1, "memory_gib": 0.25}, "time_limit": "5m"}
MARK = 'echo "$PEARL_ATTEMPT_ID $PEARL_RANK" >> "$PEARL_OUTPUTS/ran-$PEARL_RANK"'
AWAY_S = 1.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    made = Postgres(durable=True)
    yield made
    made.remove()


class PostgresServer(Server):
    """A server whose database is not a file. An answer 503 counts as no answer: whoever asked tries again."""

    def __init__(self, data: Path, postgres: Postgres, name: str, *options: str) -> None:
        self.database = postgres.url.rsplit("/", 1)[0] + f"/{name}"
        super().__init__(data, "--database", self.database, *options, environment=FAST)
        self.told_to_come_back = 0

    def http(self, key: str = "") -> httpx.Client:
        made = super().http(key)
        made.event_hooks = {"response": [self._come_back]}
        return made

    def _come_back(self, answer: httpx.Response) -> None:
        assert answer.status_code != 500, answer.read()
        if answer.status_code == 503:
            assert 1 <= int(answer.headers["retry-after"]) <= 10
            answer.read()
            assert "database" in answer.json()["detail"].lower(), answer.text
            self.told_to_come_back += 1
            raise httpx.ConnectError("told to come back")

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            found = connection.execute(query.replace("?", "%s"), parameters or None).fetchall()
        return [
            {name: json.dumps(v) if isinstance(v, dict) else v for name, v in row.items()} for row in found
        ]

    def pearl(self, *words: str) -> str:
        """Run `pearl` on this center's folder and database; what it said."""
        arguments = [sys.executable, "-m", "pearlstreet.app", *words, "--data", str(self.data)]
        environment = os.environ | ({"PEARL_DATABASE": self.database} if "restore" in words else {})
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def make_database(postgres: Postgres, name: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    name = f"c{len(list(tmp_path.parent.iterdir()))}_{request.node.nodeid.__hash__() & 0xFFFFFF:x}"
    make_database(postgres, name)
    made = PostgresServer(tmp_path / "data", postgres, name, *getattr(request, "param", ()))
    yield made
    made.clean_up()


def test_a_days_work(server: PostgresServer, postgres: Postgres, tmp_path: Path) -> None:
    server.start()
    server.make_tenant()
    echo = server.submit(command=["/bin/sh", "-c", "echo 中文; echo 42 > $PEARL_OUTPUTS/answer"], **SHELL)
    gang = server.submit(command=["/bin/sh", "-c", "echo rank $PEARL_RANK"], tasks=2, **SHELL)
    array = server.submit(command=["/bin/sh", "-c", "exit 0"], array={"size": 4, "max_running": 2}, **SHELL)
    after = server.submit(command=["/bin/sh", "-c", "exit 3"], depends_on=[{"job": echo}], **SHELL)
    long = server.submit(command=["/bin/sh", "-c", "sleep 100"], **SHELL)
    server.wait(long, "running")
    with server.tenant() as http:
        assert http.post(f"/jobs/{long}/cancel").status_code == 200
    ends = {job: server.wait(job)["state"] for job in (echo, gang, array, after, long)}
    assert list(ends.values()) == ["succeeded", "succeeded", "succeeded", "failed", "cancelled"], ends
    assert server.log_of(echo) == "中文\n".encode()
    assert server.log_of(gang, 1) == b"rank 1\n"
    with server.tenant() as http:
        artefacts = http.get(f"/jobs/{echo}/artefacts").json()["items"]
        assert [item["path"] for item in artefacts] == ["answer"]
        month = time.strftime("%Y-%m", time.gmtime(time.time() + 8 * 3600))
        invoice = http.get(f"/orgs/{ORG}/invoices/{month}", params={"draft": "true"})
        assert invoice.status_code == 200, invoice.text
    wait_for_holds(server)
    checks.everything_is_over(server)
    checks.use_is_whole(server)
    server.prove()
    comes_back_from_a_backup(server, postgres, tmp_path, echo)


def wait_for_holds(server: PostgresServer, within_s: float = 30) -> None:
    until = time.monotonic() + within_s
    while server.rows("SELECT id FROM ledger_holds WHERE settled_us IS NULL"):
        assert time.monotonic() < until
        time.sleep(0.05)


def comes_back_from_a_backup(server: PostgresServer, postgres: Postgres, tmp_path: Path, job: str) -> None:
    """Made while it runs; restored into an empty database and another folder, where a server then starts."""
    with server.http(server.keys["system"]) as system:
        made = system.post("/backups")
    assert made.status_code == 201, made.text
    file = server.data / "backups" / made.json()["name"]
    with tarfile.open(file) as members:
        assert "secret.key" not in members.getnames()
    make_database(postgres, "copy")
    copy = PostgresServer(tmp_path / "copy", postgres, "copy")
    key = server.data / "secret.key"
    said = copy.pearl("restore", str(file), "--key-file", str(key), "--yes")
    assert "proved" in said, said
    server.end()
    written = tmp_path / "offline.tar.gz"
    server.pearl("backup", str(written))
    with tarfile.open(written) as members:
        assert "pearl.db" not in members.getnames(), "it is a PostgreSQL center, although nobody says so"
    copy.options = []
    copy.keys = dict(server.keys)
    try:
        copy.start()
        assert copy.job(job)["state"] == "succeeded"
        copy.prove()
    finally:
        copy.clean_up()


@pytest.mark.slow
def test_postgres_restarts_under_load(server: PostgresServer, postgres: Postgres) -> None:
    """Once stopped in good order, once as if it had crashed."""
    memory = Memory()
    server.start()
    server.make_tenant()
    load = Load(server, memory, 1, simulated=False)
    load.start()
    for how in (signal.SIGINT, signal.SIGQUIT):
        time.sleep(1.0)
        runs_on_while_postgres_is_away(server, postgres, how)
        took_again = server.submit(command=["/bin/sh", "-c", MARK], name=f"again-{how.name.lower()}", **SHELL)
    load.stop()
    load.settle_unsure()
    finish(server)
    assert server.job(took_again)["state"] == "succeeded"
    assert server.process is not None
    assert server.process.poll() is None, "the server did not live through it"
    assert server.told_to_come_back > 0
    checks.everything_is_over(server)
    checks.nothing_acknowledged_is_lost(server, memory)
    checks.no_job_is_there_twice(server)
    checks.no_device_is_given_twice(server)
    checks.cancels_were_honoured(server, memory)
    checks.use_is_whole(server)
    assert checks.no_attempt_ran_twice(server) > 0
    assert server.end() == 0


def runs_on_while_postgres_is_away(server: PostgresServer, postgres: Postgres, how: signal.Signals) -> None:
    """Attempts keep their supervisors, or end by themselves; the server answers 503 and comes back by itself."""
    running = server.supervisors()
    postgres.stop(how)
    try:
        away(server)
        after = server.supervisors()
    finally:
        postgres.start()
    for attempt, identity in running.items():
        ended = files.read_json(str(server.attempts / attempt), files.STATE)
        assert after.get(attempt, identity) == identity
        assert attempt in after or (ended and ended["state"] == "exited")
    back(server)


def away(server: PostgresServer) -> None:
    """While PostgreSQL is away reads, writes and health say so, and quickly."""
    until = time.monotonic() + AWAY_S
    while time.monotonic() < until:
        for method, path in (("GET", "/jobs"), ("POST", "/jobs")):
            began = time.monotonic()
            body = {"command": ["true"]} if method == "POST" else None
            with httpx.Client(headers={"authorization": f"Bearer {server.keys['tenant']}"}) as http:
                answer = http.request(method, f"{server.url}/api/v1{path}", json=body, timeout=10)
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) <= 10
            assert time.monotonic() - began < 5
        assert httpx.get(f"{server.url}/health").status_code == 503
        time.sleep(0.05)


def back(server: PostgresServer, within_s: float = 15) -> None:
    """It answers again by itself."""
    until = time.monotonic() + within_s
    while httpx.get(f"{server.url}/health").status_code != 200:
        assert time.monotonic() < until, "it does not come back"
        time.sleep(0.05)


def finish(server: PostgresServer, within_s: float = 240) -> None:
    until = time.monotonic() + within_s
    query = "SELECT id, state, reason FROM jobs WHERE ended_us IS NULL"
    while server.rows(query) or server.rows("SELECT id FROM attempts WHERE state <> 'ended'"):
        assert time.monotonic() < until, server.rows(query)
        time.sleep(0.2)
    wait_for_holds(server)


@pytest.mark.slow  # half a minute of waiting; make crash runs it
def test_a_second_server_is_refused(server: PostgresServer, postgres: Postgres, tmp_path: Path) -> None:
    """Also one with a data folder of its own and the right key; and a killed server's lock ends with it."""
    server.start()
    name = server.database.rsplit("/", 1)[1]
    other = PostgresServer(tmp_path / "other", postgres, name)
    said = other.refused(PEARL_SECRET_KEY=(server.data / "secret.key").read_text())
    assert "Another server already uses this PostgreSQL database" in said
    server.make_tenant()
    job = server.submit(command=["/bin/sh", "-c", "exit 0"], **SHELL)
    assert server.wait(job)["state"] == "succeeded"
    server.kill()
    server.start()
    server.prove()


@pytest.mark.slow
@pytest.mark.parametrize("server", [("--simulate", "8x8xH100-80G", "--simulate-speed", "20")], indirect=True)
def test_a_simulated_cluster(server: PostgresServer) -> None:
    server.start()
    server.make_tenant()
    card = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}
    gang = server.submit(command=["train"], simulate="60s", tasks=4, per_task=card, time_limit="10m")
    array = server.submit(
        command=["sweep"], simulate="20s", array={"size": 30}, per_task={"accelerator": "H100", "count": 1}
    )
    assert server.wait(gang)["state"] in ("succeeded", "failed")
    server.wait(array)
    server.kill()
    server.start()
    finish(server)
    checks.everything_is_over(server)
    checks.use_is_whole(server)
    checks.no_device_is_given_twice(server)
    server.prove()
