"""Compiles the translations before a wheel is built or the project is installed in place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TranslationsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Writes `pearlstreet.mo` beside the `.po` files, and lets the wheel contain it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the catalogues of every language; `version` is "standard" or "editable"."""
        sys.path.insert(0, str(Path(self.root) / "src"))
        from pearlstreet.base.translation_compiler import compile_all

        build_data["artifacts"] += [str(path.relative_to(self.root)) for path in compile_all()]
