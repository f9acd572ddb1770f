"""The mutation tool: which changes it makes, which it leaves alone, and that a copy of the process sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutation.mutations import Mutant, find_mutants
from tests.mutation.parts import PARTS, ROOT

SOURCE = '''"""Words."""
LIMIT = 3

def rows(tx, org_id: str, limit: int = 5) -> int:
    """Words."""
    if org_id is None:
        raise NotFound(text("There is no {org}", org=org_id), hint=text("Look again"))
    query = sa.select(jobs).where(jobs.c.org_id == org_id, jobs.c.state == "running")
    log.info("asked", count=1)
    check(org_id != "", "words about it", org=org_id)
    tx.execute(query)
    return len(org_id) + 1 if not tx else 0
'''


def _changed(kind: str) -> list[str]:
    """The lines that mutants of a kind write."""
    found = (mutant for mutant in find_mutants("x.py", SOURCE) if mutant.kind == kind)
    return [mutant.apply(SOURCE).splitlines()[mutant.line - 1].strip() for mutant in found]


def test_a_condition_of_a_statement_is_left_out() -> None:
    first, second = _changed("filter")
    assert (
        first == "query = sa.select(jobs).where(__import__('sqlalchemy').true(), jobs.c.state == \"running\")"
    )
    assert second == "query = sa.select(jobs).where(jobs.c.org_id == org_id, __import__('sqlalchemy').true())"


def test_comparisons_numbers_calls_and_refusals_are_changed() -> None:
    assert "if org_id is not None:" in _changed("compare")
    assert 'check(org_id == "", "words about it", org=org_id)' in _changed("compare")
    assert _changed("raise") == ["pass"] and "pass" in _changed("call")
    assert "return len(org_id) + 2 if not tx else 0" in _changed("constant")
    assert "return len(org_id) - 1 if not tx else 0" in _changed("operator")
    assert "return len(org_id) + 1 if (tx) else 0" in _changed("not")
    assert _changed("return") == ["return None"]


def test_words_annotations_defaults_and_module_level_stay() -> None:
    for mutant in find_mutants("x.py", SOURCE):
        changed = mutant.apply(SOURCE)
        assert mutant.line > 5 and changed.count("\n") == SOURCE.count("\n")
        for kept in (
            '"""Words."""',
            "LIMIT = 3",
            "limit: int = 5",
            '"words about it"',
            'log.info("asked", count=1)',
        ):
            assert kept in changed or mutant.kind == "call"
        assert 'text("Look again")' in changed or mutant.kind in ("raise", "call")


def test_text_beyond_ascii_before_a_mutant_does_not_move_it() -> None:
    source = 'def f(a):\n    b = "中文"; return a < 1\n'
    (mutant,) = [one for one in find_mutants("x.py", source) if one.kind == "compare"]
    assert mutant.apply(source) == 'def f(a):\n    b = "中文"; return a <= 1\n'


def test_ids_are_unique_and_stay() -> None:
    first, again = find_mutants("x.py", SOURCE), find_mutants("x.py", SOURCE)
    assert first == again and len({mutant.id for mutant in first}) == len(first)
    assert isinstance(first[0], Mutant)


def test_every_part_names_files_and_tests_that_are_there() -> None:
    for part in PARTS:
        assert part.paths(), part.name
        assert all(path.is_file() for path in map(ROOT.joinpath, part.paths())), part.name
        for name in part.tests:
            assert list((ROOT / "tests").glob(name)), (part.name, name)


def test_every_package_is_mutated() -> None:
    covered = {path for part in PARTS for path in part.paths()}
    packages = {path.relative_to(ROOT).parts[2] for path in (ROOT / "src/pearlstreet").glob("*/__init__.py")}
    packages -= {"sim"}  # itself a test
    assert packages <= {path.parts[2] for path in covered}


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_tells_killed_from_unreached(count: int) -> None:
    """A whole run in a process of its own, about a program that is planted for it."""
    folder = ROOT / "tests" / "mutation" / "planted"
    script = f"""
import sys
from pathlib import Path
import pytest
from tests.mutation.forking import MutationPlugin
from tests.mutation.mutations import find_mutants
file = "{{folder}}/program.py"
from tests.mutation.parts import ROOT
mutants = find_mutants(file, (ROOT / file).read_text())
found = []
plugin = MutationPlugin(mutants, {count}, found.append)
pytest.main(["-q", "-p", "no:cacheprovider", str(ROOT / "{{folder}}/test_program.py")], plugins=[plugin])
print(sorted((one.mutant.kind, one.outcome) for one in found))
""".replace("{folder}", str(folder.relative_to(ROOT)))
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    last = answer.stdout.splitlines()[-1]
    assert last == str([("compare", "killed"), ("constant", "unreached"), ("operator", "unreached"),
                        ("return", "killed"), ("return", "unreached")]), answer.stderr  # fmt: skip
