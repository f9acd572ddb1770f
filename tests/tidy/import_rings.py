"""Rings of modules that import each other; imports inside functions and under TYPE_CHECKING count, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def import_graph(root: Path = SOURCE) -> dict[str, set[str]]:
    """Return the modules that each module below `root` imports. `from package import module` counts for the module only."""
    files = {_name(path.relative_to(root)): path for path in sorted(root.rglob("*.py"))}
    return {name: set(_imports(name, path, files)) - {name} for name, path in files.items()}


def rings(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components with more than one module: two modules that reach each other share one."""
    reach = {name: _reachable(graph, name) for name in graph}
    found = {
        tuple(sorted({other for other in reach[name] if name in reach[other]} | {name})) for name in graph
    }
    return sorted(ring for ring in found if len(ring) > 1)


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for other in graph[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found = next((one for one in (f"{base}.{alias.name}", base) if one in files), None)
                if found is not None:
                    yield found
