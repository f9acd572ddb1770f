"""`pearl`, whole: the commands that talk to a center, and those that run one on this machine."""

from __future__ import annotations

from importlib import import_module

from pearlstreet.app import commands, offline
from pearlstreet.cli.main import make_app, run

LATER = ("pearlstreet.sim.commands",)
"""Found by name: nothing may import the simulator, and an entry point of the package would cost every command the
search for it. The module is light; what it runs is imported when it runs."""
ROOMS = (commands, offline, *map(import_module, LATER))


def main() -> None:
    """Entry point of the console script."""
    run(make_app(ROOMS))
