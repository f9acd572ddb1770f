"""Tries mutants in copies of one warmed process: fork, exchange a function's code, run the tests that call it.

A pytest plugin. pytest has imported the program and collected the tests when it comes to run them; from there a copy of the
process costs milliseconds where a new interpreter and its imports cost seconds. One copy runs all tests unchanged first and
notes which functions each calls and what it costs, so that each mutant meets only the tests that reach it, the cheapest first. Where
few files are mutated it notes lines, too: thousands of tests call the function that answers a request, few its rare branches.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutations import Mutant
from tests.mutation.parts import ROOT

KILLED, SURVIVED, BROKEN = 1, 0, 3
"""Exit codes of a copy: a test failed, all passed, the mutant cannot be put in place."""
CPU_S_LEAST = 20
WALL_TIMES_CPU = 20
"""The machine may be busy with others: a copy may wait so much longer than it computes."""
TESTS_MAX = 60
"""Of the tests that reach a mutant, those of its file's name are run, and so many of the cheapest and of the most specific."""
CASES_MAX = 20
"""Cases of one parametrised test among them."""
LINES_FILES_MAX = 8
"""Mutated files with up to which lines are noted, too, which makes the unchanged run slower."""
Place = tuple[str, int]
"""Qualified name and first line of a function."""


@dataclass
class Tried:
    """What became of a mutant: killed, survived, unreached (no test calls its function), or broken (left out)."""

    mutant: Mutant
    outcome: str
    by: str = ""
    """The first test that failed, or why it was stopped."""


@dataclass
class Costs:
    """What a test costs and which functions of the program it calls."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    reached: dict[str, list[str]] = field(default_factory=dict)
    """By file and function (`src/…/keys.py:create_key`), the tests that call it; by file and line, those that execute it."""

    @functools.cached_property
    def breadth(self) -> Counter[str]:
        """How many functions of the program, or lines of them, each test reaches."""
        return Counter(nodeid for tests in self.reached.values() for nodeid in tests)


class MutationPlugin:
    """Replaces pytest's loop over tests by a loop over mutants."""

    def __init__(self, mutants: Sequence[Mutant], workers: int, on_result: Any) -> None:
        self.mutants, self.workers, self._on_result = mutants, workers, on_result
        self._items: dict[str, pytest.Item] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        self._sources: dict[str, str] = {}
        self._functions: dict[str, list[FunctionType]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the unchanged tests once in a copy, then each mutant in a copy of its own."""
        self._items = {item.nodeid: item for item in session.items}
        self._index()
        files = {str(ROOT / mutant.file) for mutant in self.mutants}
        costs = self._measure(session, files)
        try:
            self._try_all(session, costs)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return True

    def _index(self) -> None:
        """Find every function object of the mutated files: decorators keep some that no module names."""
        wanted = {str(ROOT / mutant.file) for mutant in self.mutants}
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename in wanted:
                self._functions.setdefault(one.__code__.co_filename, []).append(one)

    # -- the unchanged program

    def _measure(self, session: pytest.Session, files: set[str]) -> Costs:
        target = self._folder / "costs.json"
        child = os.fork()
        if child == 0:
            _quiet()
            target.write_text(json.dumps(self._run_all(session, files)))
            os._exit(0)
        os.waitpid(child, 0)
        found = json.loads(target.read_text())
        costs = Costs()
        for nodeid, (passed, cpu_s, called) in found.items():
            if passed:
                costs.cpu_s[nodeid] = cpu_s
                for place in called:
                    costs.reached.setdefault(place, []).append(nodeid)
        left_out = sum(not passed for passed, *_ in found.values())
        sys.__stderr__.write(f"{len(costs.cpu_s)} tests pass unchanged, {left_out} do not and are left out\n")
        return costs

    def _run_all(self, session: pytest.Session, files: set[str]) -> dict[str, Any]:
        self._own_folder(session, "unchanged")
        called: set[str] = set()

        def profile(frame: Any, event: str, _: Any) -> Any:
            if event == "call" and frame.f_code.co_filename in files:
                called.add(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname.split('.<locals>')[0]}")
                return note_line
            return None

        def note_line(frame: Any, event: str, _: Any) -> Any:
            called.add(f"{frame.f_code.co_filename}:{frame.f_lineno}")
            return note_line

        watch, watch_threads = sys.setprofile, threading.setprofile
        if len(files) <= LINES_FILES_MAX:
            watch, watch_threads = sys.settrace, threading.settrace
        watch_threads(profile)
        found = {}
        items = list(self._items.values())
        for item, following in zip(items, [*items[1:], None], strict=True):
            called.clear()
            before = time.process_time()
            watch(profile)
            reports = runtestprotocol(item, nextitem=following, log=False)
            watch(None)
            passed = all(report.passed for report in reports)
            found[item.nodeid] = (passed, time.process_time() - before, sorted(called))
        return found

    # -- the mutants

    def _try_all(self, session: pytest.Session, costs: Costs) -> None:
        running: dict[int, tuple[Mutant, float, Path]] = {}
        waiting = iter(self.mutants)
        is_over = False
        while running or not is_over:
            while len(running) < self.workers and not is_over:
                mutant = next(waiting, None)
                if mutant is None:
                    is_over = True
                    break
                tests = self._tests_for(mutant, costs)
                if not tests:
                    self._on_result(Tried(mutant, "unreached"))
                    continue
                cpu_s = CPU_S_LEAST + 5 * sum(costs.cpu_s[item.nodeid] for item in tests)
                note = self._folder / f"by-{len(mutant.id)}-{abs(hash(mutant))}"
                child = self._start(session, mutant, tests, cpu_s, note)
                running[child] = (mutant, time.monotonic() + WALL_TIMES_CPU * cpu_s, note)
            for child, status in _ended(running):
                mutant, _, note = running.pop(child)
                self._on_result(_judge(mutant, status, note))

    def _tests_for(self, mutant: Mutant, costs: Costs) -> list[pytest.Item]:
        path = ROOT / mutant.file
        reached = costs.reached.get(f"{path}:{mutant.line}") or costs.reached.get(
            f"{path}:{mutant.function}", []
        )
        cheapest = _several(sorted(reached, key=lambda nodeid: (costs.cpu_s[nodeid], nodeid)))
        # Nearly every test signs in: the tests of a function that all call are those that call few others.
        breadth = costs.breadth
        specific = _several(
            sorted(reached, key=lambda nodeid: (breadth[nodeid], costs.cpu_s[nodeid], nodeid))
        )
        own = [nodeid for nodeid in reached if f"/test_{path.stem}.py::" in nodeid]
        return [self._items[nodeid] for nodeid in dict.fromkeys((*own, *cheapest, *specific))]

    def _start(
        self, session: pytest.Session, mutant: Mutant, tests: list[pytest.Item], cpu_s: float, note: Path
    ) -> int:
        child = os.fork()
        if child:
            return child
        code = KILLED
        try:
            os.setpgrp()
            _quiet()
            limit = int(cpu_s)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            self._own_folder(session, note.name)
            if not self._put_in(mutant):
                os._exit(BROKEN)
            code = SURVIVED
            for item, following in zip(tests, [*tests[1:], None], strict=True):
                reports = runtestprotocol(item, nextitem=following, log=False)
                if not all(report.passed for report in reports):
                    note.write_text(item.nodeid)
                    code = KILLED
                    break
        except BaseException as error:
            note.write_text(repr(error))
            code = KILLED
        os._exit(code)

    def _put_in(self, mutant: Mutant) -> bool:
        """Exchange the code of the mutated function wherever it is held."""
        path = str(ROOT / mutant.file)
        source = self._sources.setdefault(path, Path(path).read_text(encoding="utf-8"))
        try:
            changed = compile(mutant.apply(source), path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        codes = dict(_codes(changed))
        done = False
        for function in self._functions.get(path, ()):
            place = (function.__code__.co_qualname, function.__code__.co_firstlineno)
            if place not in codes or place[0].split(".<locals>")[0] != mutant.function:
                continue
            try:
                function.__code__ = codes[place]
            except ValueError:  # other free variables than before
                continue
            done = True
        return done

    def _own_folder(self, session: pytest.Session, name: str) -> None:
        """Temporary files of this copy lie apart from those of others."""
        factory: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]
        factory._given_basetemp, factory._basetemp = self._folder / f"tmp-{name}", None


def _several(nodeids: Sequence[str]) -> list[str]:
    """The first of them, few of each parametrised test, so that one with a thousand cases leaves room for others."""
    cases: Counter[str] = Counter()
    found = []
    for nodeid in nodeids:
        cases[nodeid.partition("[")[0]] += 1
        if cases[nodeid.partition("[")[0]] <= CASES_MAX:
            found.append(nodeid)
    return found[:TESTS_MAX]


def _codes(code: CodeType) -> Iterator[tuple[Place, CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield (inner.co_qualname, inner.co_firstlineno), inner
            yield from _codes(inner)


def _ended(running: dict[int, tuple[Mutant, float, Path]]) -> Iterator[tuple[int, int]]:
    """Copies that have ended, with how; those that waited too long are ended."""
    found = []
    while not found and running:
        for child, (_, until, _note) in running.items():
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                found.append((child, status))
            elif time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
        if not found:
            time.sleep(0.02)
    for child, _ in found:
        try:
            os.killpg(child, signal.SIGKILL)  # what a test left behind
        except ProcessLookupError:
            continue
    yield from found


def _judge(mutant: Mutant, status: int, note: Path) -> Tried:
    shutil.rmtree(note.with_name(f"tmp-{note.name}"), ignore_errors=True)
    if os.WIFSIGNALED(status):
        return Tried(mutant, "killed", f"signal {os.WTERMSIG(status)}: out of time")
    code = os.WEXITSTATUS(status)
    by = note.read_text() if note.exists() else ""
    return Tried(mutant, {KILLED: "killed", SURVIVED: "survived"}.get(code, "broken"), by)


def _quiet() -> None:
    """What a copy says goes nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
