"""Mutation runs: `make mutants` (PART=leases SEED=1 SAMPLE=300 WORKERS=2), or `python -m tests.mutation --help`.

Results are kept in build/mutants and a later run goes on where the last one ended; a changed source file is tried anew. Each part
has tests of its own, which are quick; `--wide` asks the tests of all parts about the mutants that those let pass.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest

from tests.mutation.forking import MutationPlugin, Tried
from tests.mutation.mutations import Mutant, find_mutants
from tests.mutation.parts import PARTS, ROOT, Part

KEPT = ROOT / "build" / "mutants"


class Results:
    """What became of the mutants of a part, kept as JSON lines."""

    def __init__(self, part: Part) -> None:
        self._file = KEPT / f"{part.name}.jsonl"
        self.rows: dict[str, dict[str, str]] = {}
        if self._file.is_file():
            for line in self._file.read_text().splitlines():
                row = json.loads(line)
                self.rows[row["id"]] = row

    def knows(self, mutant: Mutant, outcomes: Sequence[str] = ("killed",)) -> bool:
        """Whether it was tried on this very source, with one of these outcomes."""
        row = self.rows.get(mutant.id)
        return row is not None and row["source"] == _digest(mutant.file) and row["outcome"] in outcomes

    def keep(self, tried: Tried) -> None:
        """Write it down at once."""
        mutant = tried.mutant
        row = {"id": mutant.id, "source": _digest(mutant.file), "outcome": tried.outcome, "by": tried.by}
        self.rows[mutant.id] = row
        KEPT.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _digest(file: str) -> str:
    return hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:16]


def mutants_of(part: Part, sample: int, seed: int) -> list[Mutant]:
    """All mutants of a part that is run whole; of others a sample that the seed decides."""
    found = [
        mutant
        for path in part.paths()
        for mutant in find_mutants(str(path), (ROOT / path).read_text(encoding="utf-8"))
    ]
    if part.whole or len(found) <= sample:
        return found
    return sorted(random.Random(f"{seed} {part.name}").sample(found, sample))


def run(
    part: Part, sample: int, seed: int, workers: int, *, wide: bool = False
) -> tuple[list[Mutant], Results]:
    """Try what was not tried yet and, unless all tests are asked next (`wide`), what was let pass."""
    mutants, results = mutants_of(part, sample, seed), Results(part)
    settled = ("killed", "survived", "unreached") if wide else ("killed",)
    waiting = [mutant for mutant in mutants if not results.knows(mutant, settled)]
    if waiting:
        try_all(part.name, waiting, part.tests, workers, results.keep)
    return mutants, results


def run_wide(tried: Sequence[tuple[Sequence[Mutant], Results]], workers: int) -> None:
    """Ask the tests of all parts about every mutant that the tests of its own part let pass."""
    results_of = {
        mutant: results
        for mutants, results in tried
        for mutant in mutants
        if results.rows.get(mutant.id, {}).get("outcome") in ("survived", "unreached")
    }
    tests = dict.fromkeys(name for part in PARTS for name in part.tests)
    if results_of:
        try_all("wide", list(results_of), tests, workers, lambda one: results_of[one.mutant].keep(one))


def try_all(
    name: str,
    mutants: Sequence[Mutant],
    test_names: Iterable[str],
    workers: int,
    keep: Callable[[Tried], None],
) -> None:
    """Try every mutant with the tests of these files and folders, and keep what became of each."""
    done = 0

    def on_result(tried: Tried) -> None:
        nonlocal done
        done += 1
        keep(tried)
        sys.__stderr__.write(f"\r{name}: {done} of {len(mutants)}  ")

    tests = dict.fromkeys(str(path) for one in test_names for path in sorted((ROOT / "tests").glob(one)))
    plugin = MutationPlugin(mutants, workers, on_result)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "-k", "not postgresql"]
    code = pytest.main([*options, *tests], plugins=[plugin])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) or not done:
        sys.exit(f"{name}: the tests could not be collected ({code!r})")


def table(mutants: Sequence[Mutant], results: Results) -> list[str]:
    """A line for each module and one for all: mutants, killed, survived, unreached, share killed."""
    counts: dict[str, Counter[str]] = {}
    for mutant in mutants:
        outcome = results.rows.get(mutant.id, {}).get("outcome", "not tried")
        if outcome != "broken":
            for name in (mutant.file.removeprefix("src/pearlstreet/"), "all"):
                counts.setdefault(name, Counter())[outcome] += 1
    lines = [f"{'module':44} {'mutants':>7} {'killed':>7} {'survived':>8} {'unreached':>9} {'share':>6}"]
    for name in [*sorted(set(counts) - {"all"}), "all"]:
        one = counts.get(name, Counter())
        share = f"{one['killed'] / one.total():.0%}" if one.total() else "-"
        lines.append(
            f"{name:44} {one.total():7} {one['killed']:7} {one['survived']:8} {one['unreached']:9} {share:>6}"
        )
    return lines


def survivors(mutants: Sequence[Mutant], results: Results) -> list[str]:
    """Every mutant that no test noticed, with its line and what was changed."""
    found = []
    for mutant in mutants:
        outcome = results.rows.get(mutant.id, {}).get("outcome", "")
        if outcome in ("survived", "unreached"):
            source = (ROOT / mutant.file).read_text(encoding="utf-8")
            changed = difflib.unified_diff(
                source.splitlines(), mutant.apply(source).splitlines(), lineterm="", n=0
            )
            shown = [line for line in list(changed)[2:] if not line.startswith("@@")]
            found.append("\n".join((f"{mutant.file}:{mutant.line} {outcome} ({mutant.kind})", *shown, "")))
    return found


def main() -> None:
    """Run the parts that are named, or all; print a table each, and write the survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    parser.add_argument("--sample", type=int, default=300, help="mutants of a package that is not run whole")
    parser.add_argument("--seed", type=int, default=1, help="decides the sample")
    parser.add_argument(
        "--wide", action="store_true", help="ask all tests about what those of a part let pass"
    )
    parser.add_argument("--workers", type=int, default=2, help="mutants at the same time")
    given = parser.parse_args()
    unknown = set(given.parts) - {part.name for part in PARTS}
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    chosen = [part for part in PARTS if not given.parts or part.name in given.parts]
    tried = [run(part, given.sample, given.seed, given.workers, wide=given.wide) for part in chosen]
    if given.wide:
        run_wide(tried, given.workers)
    for part, (mutants, results) in zip(chosen, tried, strict=True):
        left = survivors(mutants, results)
        report = KEPT / f"{part.name}.survivors.txt"
        report.write_text("\n".join(left))
        print(f"\n{part.name}")
        print("\n".join(table(mutants, results)))
        print(f"{len(left)} survivors are listed in {report.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
