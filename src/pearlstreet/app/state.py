"""Which server runs from a data folder, and how to end it. Apart from the server itself, which takes seconds to load."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from pearlstreet.app.settings import Settings
from pearlstreet.compute.engines.local.supervisor import files

STATE = "server.json"
"""In the data folder: pid and address of the running server."""


def write_state(file: Path, settings: Settings) -> None:
    """Leave pid and address for `pearl down` and the CLI."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps({**files.identity(), "url": settings.url}))
    temporary.replace(file)


def running(data: Path) -> dict[str, Any] | None:
    """What the data folder's server wrote, when it is alive. A process that only got its number is not it."""
    try:
        state: dict[str, Any] = json.loads((data / STATE).read_text())
        same = state["start_ticks"] == files.start_ticks(int(state["pid"]))
        return state if same and state["boot_id"] == files.boot_id() else None
    except (OSError, ValueError, KeyError):
        return None


def stop(data: Path) -> int | None:
    """Ask the data folder's server to end; its pid, or None when none runs. Jobs run on."""
    state = running(data)
    if state is None:
        return None
    os.kill(int(state["pid"]), signal.SIGTERM)
    return int(state["pid"])
