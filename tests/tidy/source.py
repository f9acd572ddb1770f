"""The project's files as the tidy checks read them."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "pearlstreet"
_SKIPPED = {".git", ".venv", "node_modules", "__pycache__", "dist", "build", ".demo"}
_BINARY = {".png", ".jpg", ".gz", ".db", ".whl", ".pdf", ".ico", ".woff2"}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product, parsed, by its path below src/pearlstreet."""
    return {
        path.relative_to(SRC).as_posix(): ast.parse(path.read_text(encoding="utf-8"), str(path))
        for path in sorted(SRC.rglob("*.py"))
    }


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file under version control; without git, every file that is not made by a tool."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split("\0")
        found = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = list(_walk(ROOT))
    return tuple(sorted(path for path in found if path.is_file()))


def texts() -> Iterator[tuple[str, str]]:
    """(path, content) of every text file."""
    for path in files():
        if path.suffix not in _BINARY:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED or path.name.endswith("_cache"):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def dotted_uses(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(full dotted name, line) of every use of something imported, and of every bare name that is called."""
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = _dotted(node, imported)
            if name is not None:
                yield name, node.lineno
        elif isinstance(node, ast.Name) and node.id in imported:
            yield imported[node.id], node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in imported:
            yield f"builtins.{node.func.id}", node.lineno


def _dotted(node: ast.Attribute, imported: dict[str, str]) -> str | None:
    parts = [node.attr]
    inner = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or inner.id not in imported:
        return None
    return ".".join([imported[inner.id], *reversed(parts)])
