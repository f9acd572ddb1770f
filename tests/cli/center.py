"""A real server process, and the real `pearl` against it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

PASSWORD = "correct horse 9 staple"


@dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def value(self) -> Any:
        """One JSON document."""
        return json.loads(self.out)


@dataclass
class Pearl:
    """Runs commands inside this process, but over HTTP to a server of its own."""

    variables: dict[str, str]

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Answer:
        from pearlstreet.app.pearl import main

        out, err = _stream(), _stream()
        known = {**self.variables, **variables, "COLUMNS": variables.get("COLUMNS", "200")}
        code = 0
        with (
            patch.dict(os.environ, known),
            patch.object(sys, "argv", ["pearl", *arguments]),
            patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Answer(code, _text(out), _text(err))

    def right(self, *arguments: str, stdin: str = "", **variables: str) -> Answer:
        """Like calling it, and it must work."""
        answer = self(*arguments, stdin=stdin, **variables)
        assert answer.code == 0, f"pearl {' '.join(arguments)}: {answer}"
        return answer


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@dataclass(frozen=True)
class Center:
    """A running server."""

    data: Path
    url: str
    keys: dict[str, str]
    config: Path

    def as_(self, duty: str) -> Pearl:
        """`pearl` with an operator's key."""
        return Pearl({**self._plain, "PEARL_KEY": self.keys[duty]})

    def profile(self, name: str) -> Pearl:
        """`pearl` as somebody who signs in."""
        return Pearl({**self._plain, "PEARL_CONFIG": str(self.config / f"{name}.toml"), "PEARL_KEY": ""})

    @property
    def _plain(self) -> dict[str, str]:
        return {
            "PEARL_URL": self.url,
            "PEARL_CONFIG": str(self.config / "nobody.toml"),
            "PEARL_LANG": "en",
            "XDG_STATE_HOME": str(self.config),
        }


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*arguments: str) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "pearlstreet.app", *arguments]


@contextmanager
def a_center(folder: Path, *options: str) -> Iterator[Center]:
    """Start `pearl up` in the foreground and end it by SIGTERM."""
    data, config, port = folder / "data", folder / "config", free_port()
    config.mkdir(parents=True, exist_ok=True)
    log = (folder / "up.err").open("wb")
    process = subprocess.Popen(
        command("up", "--data", str(data), "--port", str(port), "--json", *options),
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "PEARL_LANG": "en"},
    )
    try:
        yield Center(data, f"http://127.0.0.1:{port}", _keys(process, folder / "up.err"), config)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()
        if process.stdout:
            process.stdout.close()


def _keys(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    said = b""
    while True:
        line = process.stdout.readline() if process.stdout else b""
        assert line, f"the server did not start: {log.read_text()}"
        said += line
        if line.rstrip() == b"}":
            found: dict[str, str] = json.loads(said)["keys"]
            return found


def a_tenant(center: Center, org: str, user: str, yuan: str = "1000") -> Pearl:
    """An organisation with its owner signed in and money, made by the commands themselves."""
    system, security, person = center.as_("system"), center.as_("security"), center.profile(user)
    system.right("orgs", "create", org)
    system.right("credit", "add", yuan, "--org", org, "--memo", "first")
    token = security.right("users", "create", user, "--org", org, "--role", "owner").out.strip()
    person.right("users", "set-password", stdin=f"{token}\n{PASSWORD}\n")
    person.right("login", "--user", user, stdin=f"{PASSWORD}\n")
    del person.variables["PEARL_KEY"]
    return person


def until(found: Any, limit_s: float = 60.0) -> Any:
    """What `found()` answers once it is true."""
    end = time.monotonic() + limit_s
    while not (answer := found()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
    return answer
