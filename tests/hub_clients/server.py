"""A live center with its web server on a port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from pearlstreet.app.web import create_web
from tests.api.world import World, a_world

CLIENTS = Path(os.environ.get("PEARL_HUB_CLIENTS", Path(__file__).parents[2] / "build" / "hub-clients"))
VERSIONS = ("0.36.2", "1.33.0", "2.4.0")


@dataclass
class LiveHub:
    """A center and the URL of its hub."""

    world: World
    url: str

    def run(self, version: str, script: str, *arguments: str, role: str = "owner", home: Path) -> str:
        """Run a script with one version of the clients; return what it prints."""
        python = CLIENTS / version / "bin" / "python"
        if not python.is_file():
            if os.environ.get("PEARL_REQUIRE_ENGINES"):
                pytest.fail(f"huggingface_hub {version} is not in {CLIENTS}: make hub-clients")
            pytest.skip(f"huggingface_hub {version} is not in {CLIENTS}: make hub-clients installs it")
        variables = {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.world.keys[role],
            "STRANGER_TOKEN": self.world.keys["stranger"],
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONWARNINGS": "ignore",
        }
        program = "/bin/sh" if script.endswith(".sh") else str(python)
        done = subprocess.run(
            [program, str(Path(__file__).parent / script), *arguments],
            env=variables,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-6000:]
        return done.stdout


@contextmanager
def a_live_hub(data: Path) -> Iterator[LiveHub]:
    """A center that answers on a port."""
    with a_world(data) as world, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        config = uvicorn.Config(
            create_web(world.center, world.services), log_level="warning", lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield LiveHub(world, f"http://127.0.0.1:{listener.getsockname()[1]}/hf")
        server.should_exit = True
        thread.join(20)
