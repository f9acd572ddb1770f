"""Finds and stops the server of a data folder, without importing the server, which takes seconds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from pearlstreet.app.settings import Settings
from pearlstreet.compute.engines.local.supervisor import files

STATE = "server.json"
"""Name of the file in the data folder with pid and address of the running server."""


def write_state(file: Path, settings: Settings) -> None:
    """Write pid and address of this server for `pearl down` and the CLI."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps({**files.identity(), "url": settings.url}))
    temporary.replace(file)


def running(data: Path) -> dict[str, Any] | None:
    """Return the state file of a live server, else None. Start time and boot id rule out a reused pid."""
    try:
        state: dict[str, Any] = json.loads((data / STATE).read_text())
        same = state["start_ticks"] == files.start_ticks(int(state["pid"]))
        return state if same and state["boot_id"] == files.boot_id() else None
    except (OSError, ValueError, KeyError):
        return None


def stop(data: Path) -> int | None:
    """Send SIGTERM to the data folder's server and return its pid; None if none runs. Jobs keep running."""
    state = running(data)
    if state is None:
        return None
    os.kill(int(state["pid"]), signal.SIGTERM)
    return int(state["pid"])
