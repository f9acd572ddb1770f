"""Starting and stopping a center: once, twice, with what cannot be; and the busy simulated one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.cli.center import Pearl, a_center, command, free_port, until

ENGLISH = {**os.environ, "PEARL_LANG": "en"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=ENGLISH, check=False)


def test_a_detached_center_shows_its_keys_once_and_goes_down(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    started = _run(
        "up", "-d", "--data", str(data), "--port", str(port), "--simulate", "2x8xH100-80G", "--idle"
    )
    try:
        assert started.returncode == 0, started.stderr
        keys = [word for word in started.stderr.split() if word.startswith("pearl_")]
        assert len(keys) == 3
        assert "pearl login --url" in started.stderr
        kept = "".join(
            file.read_text(errors="replace") for file in [*data.glob("*.log*"), *data.glob("log/*")]
        )
        assert not [key for key in keys if key in kept], "a key landed in a log"
        again = _run("up", "-d", "--data", str(data), "--port", str(free_port()))
        assert (again.returncode, "already runs there" in again.stderr) == (1, True)
        other = _run("up", "-d", "--data", str(tmp_path / "other"), "--port", str(port))
        assert (other.returncode, "Cannot listen on 127.0.0.1" in other.stderr) == (1, True)
        assert "Traceback" not in again.stderr + other.stderr
    finally:
        stopped = _run("down", "--data", str(data))
    assert (stopped.returncode, "has stopped" in stopped.stderr) == (0, True)
    assert "No center runs" in _run("down", "--data", str(data)).stderr


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pearl.toml").write_text("port = [\n")
    assert "is not TOML" in _run("up", "--data", str(data)).stderr
    (data / "pearl.toml").write_text("prot = 1\n")
    assert "prot, which is not a setting" in _run("up", "--data", str(data)).stderr
    (data / "pearl.toml").unlink()
    wrong = _run("up", "--data", str(data), "--simulate", "4xNothing", "--port", str(free_port()))
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (1, False), wrong.stderr
    assert "without TLS" in _run("up", "--data", str(data), "--listen", "0.0.0.0").stderr


def test_it_ends_within_seconds_of_being_told(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(
            "up", "--data", str(tmp_path / "d"), "--port", str(free_port()), "--simulate", "1x8xH100-80G"
        ),
        stderr=subprocess.PIPE,
        env=ENGLISH,
    )
    assert process.stderr
    try:
        said = b""
        while b"The center answers" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert time.monotonic() - began < 15
        assert b"Traceback" not in said + process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_busy_world_keeps_a_queue_for_several_tenants(tmp_path: Path) -> None:
    with a_center(tmp_path, "--simulate", "2x8xH100-80G") as center:
        system: Pearl = center.as_("system")
        until(lambda: len(system.right("jobs", "-s", "queued", "--json").rows) >= 3)
        jobs = system.right("jobs", "--limit", "500", "--json").rows
        assert len({row["org_id"] for row in jobs}) >= 3
        assert any(row["array_size"] for row in jobs) or len(jobs) < 20
        # All that wait may start at once; more come.
        waiting = until(lambda: system.right("jobs", "-s", "queued", "--json").rows)
        why = system.right("why", waiting[0]["id"], "--json").value
        assert why["sentence"]
        orgs = [row["slug"] for row in system.right("orgs", "list", "--json").rows]
        assert all(
            float(system.right("balance", "--org", org, "--json").value["available"]) > 0 for org in orgs
        )


def test_a_port_that_something_else_holds(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        answer = _run("up", "--data", str(tmp_path / "d"), "--port", str(other.getsockname()[1]))
    assert (answer.returncode, "choose one with --port" in answer.stderr) == (1, True)
