"""The complete `pearl` program: commands that talk to a center, and commands that run one on this machine."""

from __future__ import annotations

import os
import sys

from pearlstreet.cli.main import HOMES, Homes, make_app, run, wanted

COMMAND_GROUPS: Homes = {
    "pearlstreet.app.commands": ("up", "down", "backup", "restore", "demo"),
    "pearlstreet.app.recovery_commands": ("offline",),
    "pearlstreet.app.cluster_commands": ("cluster",),
    "pearlstreet.app.engine_commands": ("engines", "engine"),
    "pearlstreet.sim.commands": ("sim",),
}
"""Modules by name with their commands: a command imports only its own module, and only `sim` the simulator."""


def main() -> None:
    """Entry point of the console script."""
    run(make_app(COMMAND_GROUPS, wanted({**COMMAND_GROUPS, **HOMES}, sys.argv[1:], os.environ)))
