"""Prints the test files and folders that a change of one package needs (`make test PKG=name`)."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

TESTS = Path(__file__).parent
LISTED = TESTS / "packages.toml"
BY_NAME = ("unit", "store")
ALWAYS = ("tidy",)


def paths_of(package: str) -> list[Path]:
    """Return the files and folders of a package's tests, without what lies in a folder that is listed too.

    A file of tests/api that no package lists belongs to `api`.

    Raises KeyError for a package that packages.toml does not list.
    """
    listed = tomllib.loads(LISTED.read_text(encoding="utf-8"))
    named = [TESTS / kind / package for kind in BY_NAME]
    found = [path for path in named if path.is_dir()]
    for pattern in listed[package]:
        found += sorted(TESTS.glob(pattern))
    if package == "api":
        elsewhere = {
            path for patterns in listed.values() for pattern in patterns for path in TESTS.glob(pattern)
        }
        found += [path for path in sorted((TESTS / "api").glob("test_*.py")) if path not in elsewhere]
    unique = dict.fromkeys(found)
    return [path for path in unique if not any(parent in unique for parent in path.parents)]


def main() -> None:
    """Print the paths on one line, or say which packages there are."""
    package = sys.argv[1]
    known = tomllib.loads(LISTED.read_text(encoding="utf-8"))
    if package not in known:
        sys.exit(f"tests/packages.toml has no package {package!r}; it has {', '.join(sorted(known))}")
    paths = [*(TESTS / name for name in ALWAYS), *paths_of(package)]
    sys.stdout.write(" ".join(str(path.relative_to(TESTS.parent)) for path in paths) + "\n")


if __name__ == "__main__":
    main()
