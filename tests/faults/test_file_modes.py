"""Nobody else on the machine may read the center's files, whatever the umask it is started under."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.crash.server import Server


def test_files_are_their_owners_and_the_wall_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    assert _wall_under(0o000, tmp_path / "open 数据") == _wall_under(0o077, tmp_path / "closed 数据")


def _wall_under(umask: int, data: Path) -> str:
    """The wall of a job of a server that was started so; its files are looked at on the way."""
    server = Server(data)
    before = os.umask(umask)
    try:
        server.start()
    finally:
        os.umask(before)
    try:
        server.make_tenant()
        small = {"cpus": 0.1, "memory_gib": 0.25}
        job = server.submit(command=["/bin/sh", "-c", "umask"], per_task=small, time_limit="1m")
        assert server.wait(job)["state"] == "succeeded"
        assert server.log_of(job) == b"0022\n"
        for path in data.rglob("*"):
            name = path.relative_to(data).as_posix()
            if name != "words" and not name.startswith(("local/attempts/", "local/etc")):
                assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, f"{name} is open to others"
        return str(server.rows("SELECT wall FROM attempts")[0]["wall"])
    finally:
        server.clean_up()
