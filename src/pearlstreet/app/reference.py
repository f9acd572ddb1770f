"""`python -m pearlstreet.app.reference`: the commands' reference on standard output."""

from __future__ import annotations

import sys

from pearlstreet.app.pearl import COMMAND_GROUPS
from pearlstreet.cli.main import command_of, make_app
from pearlstreet.cli.reference import reference


def document() -> str:
    """docs/reference/cli.md as it must be."""
    return reference(command_of(make_app(COMMAND_GROUPS)))


if __name__ == "__main__":
    sys.stdout.write(document())
