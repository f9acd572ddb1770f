"""`pearl`, whole: the commands that talk to a center, and those that run one on this machine."""

from __future__ import annotations

from pearlstreet.app import commands, offline
from pearlstreet.cli.main import make_app, run

ROOMS = (commands, offline)


def main() -> None:
    """Entry point of the console script."""
    run(make_app(ROOMS))
