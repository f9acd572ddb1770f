"""Location of the recipes (code that runs inside jobs): in the wheel, or beside `src` in a checkout."""

from __future__ import annotations

from pathlib import Path

import pearlstreet
from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text


def recipe(name: str) -> Path:
    """Return the folder of a recipe. Raises NotFound."""
    package = Path(pearlstreet.__file__).resolve().parent
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if (folder / name / "job.yaml").is_file():
            return folder / name
    raise NotFound(text("There is no recipe {name}", name=name))
