"""Real parts some tests need (PostgreSQL, bubblewrap, Slurm, Chromium): found, started, or a skip that says what is missing.

With PEARL_REQUIRE_ENGINES=1 (the full check) a missing part is a failure instead of a skip.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import pytest

START_WITHIN_S = 30.0


def need(present: object, what: str, *, target: str = "engines") -> None:
    """Skip (or fail, when parts are required) unless `present`.

    `what` names the part, such as `Chromium`; `target` is the make target that installs it.
    """
    if not present:
        _absent(what, target)


def has_program(name: str) -> bool:
    """Whether a program is on the search path."""
    return shutil.which(name) is not None


@functools.cache
def has_bubblewrap() -> bool:
    """Whether bubblewrap is here and this host lets it make a namespace."""
    if not has_program("bwrap"):
        return False
    trial = ["bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    return subprocess.run(trial, capture_output=True, check=False, timeout=20).returncode == 0


@functools.cache
def postgres_url() -> str:
    """`postgresql://…` of a server tests may create databases on: PEARL_TEST_POSTGRES, or one of our own.

    Skips when there is neither.
    """
    given = os.environ.get("PEARL_TEST_POSTGRES")
    if given:
        return given
    return Postgres().url


def _absent(what: str, target: str = "engines") -> NoReturn:
    reason = f"{what} is absent: `make {target}` installs it"
    if os.environ.get("PEARL_REQUIRE_ENGINES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _postgres_programs() -> Path | None:
    """The folder of initdb and postgres: Debian keeps them off the search path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    if debian:
        return debian[-1].parent
    return Path(found).resolve().parent if found else None


class Postgres:
    """A PostgreSQL of our own on loopback, by default with nothing kept safe from power loss. Ends with this process."""

    def __init__(self, *, durable: bool = False) -> None:
        programs = _postgres_programs()
        if programs is None:
            _absent("PostgreSQL")
        self._programs, self._user = programs, _server_user()
        self._folder = Path(tempfile.mkdtemp(prefix="pearl-postgres-"))
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [programs / "initdb", "-D", self._data, *options],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._folder,
        )
        atexit.register(self.remove)
        self.start()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "max_connections": "200",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log_path = self._folder / "log"
        with log_path.open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        _wait_for(self.port, self._server, log_path)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is its fast shutdown, SIGQUIT the one like a crash."""
        if self._server is None:
            return
        self._server.send_signal(how)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    def remove(self) -> None:
        """End it and delete its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers a query: a port that is open may still be starting up."""
    import psycopg

    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return
