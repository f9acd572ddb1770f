"""The source of axe-core, to be run inside a page."""

from __future__ import annotations

from pathlib import Path

from tests.engines.npm import installed


def axe_source() -> str:
    """Its script. Skips when npm is absent or cannot install it."""
    folder = installed(Path(__file__).parent, ("package.json", "package-lock.json"), "axe-core")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
