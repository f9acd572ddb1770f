"""Lists for a reader, none of them an error: shared class names, gerund modules, docstring fragments, banned words left."""

from __future__ import annotations

import sys

from tests.tidy.words import banned, fragments, gerund_modules, refused_modules, shared_class_names, uses


def main() -> None:
    """Print the lists."""
    shared = [f"{name}: {', '.join(paths)}" for name, paths in shared_class_names().items()]
    _print("Public classes that share a name", shared)
    _print("Modules in -ing that are not a noun of the field", gerund_modules())
    _print("Docstrings that open with a bare preposition or conjunction", fragments())
    _print("Modules with a refused name", refused_modules())
    for pattern, places in sorted(uses().items()):
        _print(
            f"Uses of {pattern!r}, write {banned()['words'][pattern]['instead']!r}", list(map(str, places))
        )


def _print(title: str, lines: list[str]) -> None:
    sys.stdout.write(f"\n{title}: {len(lines)}\n" + "".join(f"  {line}\n" for line in lines))


if __name__ == "__main__":
    main()
