"""Every package of the product lists its tests, and no test of a package is forgotten by `make test PKG=name`."""

from __future__ import annotations

import tomllib

from tests.package_tests import LISTED, TESTS, paths_of
from tests.tidy.source import SRC

KINDS = ("unit", "store", "property", "api", "console", "cli", "conformance", "isolation", "faults")
NOT_LISTED = {"compute", "locale", "__pycache__"}


def _listed() -> dict[str, list[str]]:
    return tomllib.loads(LISTED.read_text(encoding="utf-8"))


def test_every_package_lists_its_tests() -> None:
    folders = (*SRC.iterdir(), *(SRC / "compute").iterdir())
    packages = {path.name for path in folders if path.is_dir()} - NOT_LISTED
    assert packages == set(_listed())


def test_everything_listed_exists() -> None:
    missing = [
        f"{package}: {pattern}"
        for package, patterns in _listed().items()
        for pattern in patterns
        if not list(TESTS.glob(pattern))
    ]
    assert not missing


def test_every_test_file_belongs_to_a_package() -> None:
    covered = [path for package in _listed() for path in paths_of(package)]
    forgotten = [
        str(file.relative_to(TESTS))
        for kind in KINDS
        for file in sorted((TESTS / kind).rglob("test_*.py"))
        if not any(path == file or path in file.parents for path in covered)
    ]
    assert not forgotten, "add each to a package of tests/packages.toml"
