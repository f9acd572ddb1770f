"""Starts the server in a session of its own and waits until it answers."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.cli.output import warn

START_S = 120.0


class First(TypedDict):
    """Credentials that the first start shows once, by operator duty; empty on later starts."""

    keys: dict[str, str] | None
    links: dict[str, str] | None
    """Links with which operators set their console passwords, by duty."""


def start_detached(data: Path, options: dict[str, Any], *, busy: bool) -> First:
    """Start the server in a session of its own; returns what a first run shows. Raises ConfigurationError."""
    from pearlstreet.app.state import running

    state = running(data)
    if state is not None:
        raise ConfigurationError(
            text("A center already runs there at {url} (process {pid})", url=state["url"], pid=state["pid"]),
            hint=text("pearl down ends it"),
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader, writer = os.pipe()
    arguments = [sys.executable, "-m", "pearlstreet.app", "up", "--data", str(data)]
    for name, value in options.items():
        if value is True:
            arguments.append(f"--{name.replace('_', '-')}")
        elif value not in (None, False):
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    arguments.append("--busy" if busy else "--idle")
    words = data / "start.log"
    with words.open("wb") as sink:
        words.chmod(0o600)
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            pass_fds=(writer,),
            env={**os.environ, "PEARL_READY_FD": str(writer), "NO_COLOR": "1", "COLUMNS": "1000"},
        )
    os.close(writer)
    told = _told(reader)
    if told:
        answer = json.loads(told)
        warn_of(answer["notices"])
        return First(keys=answer["keys"], links=answer["links"])
    if process.poll() is None and not _ended(process):
        process.terminate()
        raise ConfigurationError(
            text("The center did not answer within {seconds} s; see {file}", seconds=START_S, file=str(words))
        )
    said = words.read_text(encoding="utf-8", errors="replace").strip().removeprefix("✗ ")
    raise ConfigurationError(text("The center did not start: {words}", words=said))


def _told(reader: int) -> str:
    """Return the JSON that the server writes to the pipe when it is ready; empty if it exited or timed out."""
    until = time.monotonic() + START_S
    parts = []
    with os.fdopen(reader, "rb") as pipe:
        while select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            part = os.read(pipe.fileno(), 65_536)
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode()


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return False
    return True


def warn_of(notices: list[str]) -> None:
    """Print the center's notices about this host, such as how well jobs are isolated."""
    for notice in notices:
        warn(notice)
