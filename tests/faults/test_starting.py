"""A server that must not start says why in one message, and one that is put right starts again with everything."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pearlstreet.app.settings import Settings, load_settings
from pearlstreet.app.state import STATE, running, stop
from pearlstreet.app.wiring import open_store
from pearlstreet.base.clock import US_PER_S, SystemClock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.engines.local.supervisor import files
from tests.crash.server import Server

SIMULATED = ("--simulate", "1x8xH100-80G")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data", *SIMULATED)
    yield made
    made.clean_up()


def test_two_servers_on_one_data_folder_and_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    server.start()
    twin = Server(server.data, *SIMULATED)
    said = twin.refused()
    assert "Another server already uses" in said
    assert "pearl down ends it; or choose another folder with --data" in said
    rival = Server(tmp_path / "other", *SIMULATED)
    rival.port = server.port
    said = rival.refused()
    assert f"Cannot listen on 127.0.0.1:{server.port}: Address already in use" in said
    assert "Another program may use the port; choose one with --port" in said
    with server.http() as anyone:
        assert anyone.get("/center").status_code == 200, "the first one does not notice"


def test_a_damaged_database_is_named_with_the_way_out(server: Server) -> None:
    server.start()
    server.make_tenant()
    job = server.submit(command=["train"], simulate="1s", time_limit="1m")
    ended = server.wait(job)["state"]
    assert server.end() == 0
    assert not (server.data / STATE).exists(), "it ended in order"
    database = server.data / "pearl.db"
    whole = database.read_bytes()
    database.write_bytes(b"#" * 100 + whole[100:])
    said = server.refused()
    assert "The database file is damaged" in said
    assert "Stop the server and restore the last backup: pearl restore FILE" in said
    database.write_bytes(whole)
    server.start()
    assert server.job(job)["state"] == ended
    server.prove()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a center that has been started once."""
    found = load_settings(tmp_path / "data", {"simulate": SIMULATED[1]})
    _start_once(found)
    return found


def _start_once(settings: Settings) -> None:
    settings.data.mkdir(exist_ok=True)
    open_store(settings).close()


def _refused(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_store(settings)
    return f"{caught.value}. {caught.value.hint}"


def test_a_database_of_a_newer_program_is_left_alone(settings: Settings) -> None:
    change = "UPDATE alembic_version SET version_num = "
    with closing(sqlite3.connect(settings.data / "pearl.db")) as connection:
        (before,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute(change + "'9999'")
        connection.commit()
        said = _refused(settings)
        assert "The database was written by a newer version of the program (schema 9999)" in said
        assert "Start the newer version, or restore a backup that this version made" in said
        connection.execute(change + f"'{before}'")
        connection.commit()
    _start_once(settings)


def test_a_lost_wrong_or_open_key_is_told_apart_and_none_is_made_in_its_place(settings: Settings) -> None:
    key = settings.data / "secret.key"
    right = key.read_text()
    key.unlink()
    said = _refused(settings)
    assert "secret.key is missing, but this center has encrypted secrets" in said
    assert "Restore the key file from your backup" in said
    assert not key.exists()
    key.write_text("A" * 43 + "=\n")
    key.chmod(0o600)
    assert "The encryption key differs from the one that encrypted this center's secrets" in _refused(
        settings
    )
    key.write_text(right)
    key.chmod(0o644)
    assert "can be read by others (mode 644)" in _refused(settings)
    key.chmod(0o600)
    _start_once(settings)


def test_a_clock_set_back_between_two_starts_goes_on_from_the_newest_time_on_record(
    settings: Settings,
) -> None:
    later_us = SystemClock().now_us() + 7200 * US_PER_S
    with closing(sqlite3.connect(settings.data / "pearl.db")) as connection:
        connection.execute(
            "INSERT INTO state_events (entity_id, to_state, event, at_us) VALUES ('x', 'x', 'x', ?)",
            (later_us,),
        )
        connection.commit()
    store = open_store(settings)
    assert store.clock.now_us() >= later_us
    store.close()


def test_a_pid_that_somebody_else_has_now_is_no_running_center(tmp_path: Path) -> None:
    mine = {**files.identity(), "url": "http://127.0.0.1:1"}
    (tmp_path / STATE).write_text(json.dumps(mine))
    assert running(tmp_path) == mine
    for other in ({"start_ticks": 1}, {"boot_id": "another"}, {"pid": 1 << 30}):
        (tmp_path / STATE).write_text(json.dumps(mine | other))
        assert running(tmp_path) is None
        assert stop(tmp_path) is None, "this very process was not signalled"


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "pearl-test", str(folder)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("a disk of its own is absent: only root may mount one here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_work_clearly_and_loses_nothing(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk", "40m") as disk:
        server = Server(disk / "data", *SIMULATED)
        try:
            server.start()
            server.make_tenant()
            kept = [server.submit(command=["train"], simulate="2s", time_limit="1m") for _ in range(3)]
            ballast = disk / "ballast"
            subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=64k"], capture_output=True)
            with server.tenant() as http:
                for number in range(2000):
                    spec = {"command": ["train"], "name": "x" * 90, "notes": "n" * 9000, "time_limit": "1m"}
                    answer = http.post("/jobs", json=spec | {"variables": {"N": str(number)}})
                    if answer.status_code != 201:
                        break
                    kept.append(answer.json()["id"])
                assert answer.status_code == 503, answer.text
                assert (
                    answer.json()["detail"] == "The disk that holds the database is full; nothing was changed"
                )
                assert int(answer.headers["retry-after"]) > 0
                assert http.get(f"/jobs/{kept[0]}").status_code == 200, "reading goes on"
            ballast.unlink()
            kept.append(server.submit(command=["train"], simulate="1s", time_limit="1m"))
            assert set(kept) <= {row["id"] for row in server.rows("SELECT id FROM jobs")}
            server.wait(kept[-1])
            server.wait(kept[0])
            server.prove()
        finally:
            server.clean_up()
