"""A service from the command line to its port: readiness, port forwarding, restarts, drain, and who may not reach it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant
from tests.engines_present import has_bubblewrap, need

SMALL = ("--cpus", "0.5", "--memory-gib", "0.25", "-t", "10m")
PEARL = (sys.executable, "-c", "from pearlstreet.app.pearl import main; main()")
SPEC = """\
name: greeter
command: |
  echo hello > page.txt; echo run >> runs
  exec python3 -m http.server --bind 127.0.0.1 $PEARL_PORT_WEB
per_task: {cpus: 0.5, memory_gib: 0.25}
time_limit: 10m
service:
  ports: {web: 8080}
  readiness: {port: web, path: /page.txt, period: 200ms, timeout: 5s}
  drain: 2s
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    need(has_bubblewrap(), "bubblewrap")
    with a_center(tmp_path_factory.mktemp("services")) as made:
        yield made


@pytest.fixture(scope="module")
def ann(here: Center) -> Pearl:
    return a_tenant(here, "studio", "ann")


@pytest.fixture(scope="module")
def bob(here: Center) -> Pearl:
    return a_tenant(here, "other", "bob")


def shown(ann: Pearl, job: str) -> dict[str, Any]:
    """The job with its newest attempt."""
    found: dict[str, Any] = ann.right("job", job, "--json").value
    return found


def until(ann: Pearl, job: str, *, ready: bool) -> dict[str, Any]:
    """Wait until the service's readiness is as wanted; return its attempt."""
    deadline = time.monotonic() + 90
    while True:
        found = shown(ann, job)
        attempt: dict[str, Any] = found["attempt_list"][-1] if found["attempt_list"] else {"ready": None}
        if attempt["ready"] is ready:
            return attempt
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


@pytest.fixture(scope="module")
def greeter(ann: Pearl, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("spec") / "greeter.yaml"
    file.write_text(SPEC)
    job = str(ann.right("run", str(file), "--json").value["id"])
    attempt = until(ann, job, ready=True)
    assert attempt["endpoints"] == [{"rank": 0, "port": "web"}], (
        "an address inside the center is told to no one"
    )
    return job


def test_a_port_is_reached_from_this_machine_through_the_center(ann: Pearl, greeter: str) -> None:
    environment = {**os.environ, **ann.variables, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    with subprocess.Popen(
        [*PEARL, "port-forward", greeter, "web"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address is not None, line
            for _ in range(3):
                with urllib.request.urlopen(f"{address[0]}/page.txt", timeout=60) as answer:
                    assert answer.read() == b"hello\n"
        finally:
            process.terminate()
    said = ann.right("job", greeter).out
    assert "ready" in said and "web" in said


def test_other_tenants_cannot_reach_it_and_wrong_ports_are_named(
    ann: Pearl, bob: Pearl, greeter: str
) -> None:
    refused = bob("port-forward", greeter, "web")
    assert refused.code != 0 and f"There is no job {greeter}" in refused.err
    wrong = ann("port-forward", greeter, "admin")
    assert wrong.code != 0 and "Its ports are: web" in wrong.err
    assert ann("port-forward", greeter, "80x:web").code != 0


def test_a_sandbox_sees_neither_port_nor_socket_of_another_service(
    bob: Pearl, here: Center, greeter: str
) -> None:
    look = (
        "import os, socket\n"
        "link = socket.socket(); link.settimeout(2)\n"
        "print('port', link.connect_ex(('127.0.0.1', 8080)) != 0)\n"
        f"found = [n for top in ({str(here.data)!r}, '/tmp') for _, _, names in os.walk(top) for n in names if n.endswith('.sock')]\n"
        "print('sockets', found)\n"
    )
    made = bob.right("run", *SMALL, "--follow", "--", "python3", "-c", look)
    assert "port True" in made.out and "sockets []" in made.out, made.out


def test_a_failed_service_is_started_again_and_counted(ann: Pearl) -> None:
    script = "echo run >> runs; [ $(wc -l < runs) -ge 3 ] || exit 4; sleep 300"
    job = str(ann.right("run", *SMALL, "--service", "--json", "--", "sh", "-c", script).value["id"])
    deadline = time.monotonic() + 90
    while not (attempts := shown(ann, job)["attempt_list"]) or attempts[-1]["restarts"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    events = [row["event"] for row in shown(ann, job)["timeline"]]
    assert "restarted" in events and len(attempts) == 1, "a restart is no new attempt"
    ann.right("cancel", job)


def test_a_cancelled_service_is_drained(ann: Pearl, greeter: str) -> None:
    ann.right("cancel", greeter)
    deadline = time.monotonic() + 90
    while shown(ann, greeter)["state"] != "cancelled":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert ann("port-forward", greeter, "web").code != 0


def test_a_service_on_the_network_has_no_ports(ann: Pearl, tmp_path: Path) -> None:
    file = tmp_path / "open.yaml"
    file.write_text(SPEC + "network: internet\n")
    refused = ann("run", str(file))
    assert refused.code != 0 and "service.ports" in refused.err
