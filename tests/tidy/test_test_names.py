"""Names of test cases are the same in every process; several processes that share a run compare them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.tidy.source import ROOT, files


def test_no_case_is_named_by_what_str_makes_of_its_values() -> None:
    """A set prints in another order in every process; list(…), sorted(…) or a field of the value do not."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files()
        if path.suffix == ".py" and ROOT / "tests" in path.parents
        for line in _named_by_str(path)
    ]
    assert not found, "ids=str of these cases: " + ", ".join(found)


@pytest.mark.parametrize("written", ["ids=str", "ids=repr"])
def test_one_is_found(tmp_path: Path, written: str) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(f"@pytest.mark.parametrize('x', [{{1, 2}}], {written})\ndef test_x(x): ...\n")
    assert _named_by_str(path) == [1]


def _named_by_str(path: Path) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for given in node.keywords
        if given.arg == "ids" and isinstance(given.value, ast.Name) and given.value.id in {"str", "repr"}
    ]
