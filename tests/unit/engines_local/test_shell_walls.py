"""A shell stands behind the walls of its task: same user, rights, filters and namespaces, and nothing of the supervisor's."""

from __future__ import annotations

import re
import time

from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import Bench, until

from pearlstreet.compute.engines.protocol import TaskState
from pearlstreet.compute.engines.shells import ShellOrder

LOOK = """
grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp)' /proc/self/status
for name in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$name || echo none; done
cat /proc/self/cgroup
ulimit -n; ulimit -c; ulimit -f
pwd
"""
OPEN_FILES = "ls /proc/self/fd | sort -n | tr '\\n' ' '"


def _shell(bench: Bench, attempt_id: str, script: str, *, terminal: bool = False) -> str:
    order = ShellOrder(("sh", "-c", script), terminal=terminal)
    shell = value_of(bench.engine.open_shell(attempt_id, 0, f"s{time.monotonic_ns()}", order))
    found = b""
    while (part := shell.read(1 << 16, 5.0)) is not None:
        found += part
    shell.close()
    return str(found.decode())


def test_a_shell_has_exactly_what_its_task_has(walled: Bench) -> None:
    attempt_id = walled.start(f"{{ {LOOK} }} > seen.new 2>&1; mv seen.new seen; sleep 60")
    until(lambda: walled.report(attempt_id).state is TaskState.RUNNING)
    until(lambda: "yes" in _shell(walled, attempt_id, "[ -e seen ] && echo yes"))
    task = _shell(walled, attempt_id, "cat seen")
    shell = _shell(walled, attempt_id, f"{{ {LOOK} }} 2>&1")
    assert shell == task
    assert re.search(r"CapEff:\t0+\n", shell) and re.search(r"NoNewPrivs:\t1", shell)


def test_a_shell_inherits_nothing_of_the_supervisor(walled: Bench) -> None:
    attempt_id = walled.start("sleep 60")
    until(lambda: walled.report(attempt_id).state is TaskState.RUNNING)
    for terminal in (False, True):
        found = _shell(walled, attempt_id, OPEN_FILES, terminal=terminal).split()
        assert found[:3] == ["0", "1", "2"] and len(found) <= 4, "and the listing itself"


def test_behind_bubblewrap_a_shell_sees_the_processes_of_its_task_and_no_others(sealed: Bench) -> None:
    attempt_id = sealed.start("sleep 61")
    until(lambda: sealed.report(attempt_id).state is TaskState.RUNNING)
    names = "for one in /proc/[0-9]*; do tr '\\0' ' ' < $one/cmdline; echo; done"
    seen = _shell(sealed, attempt_id, names)
    assert "sleep 61" in seen
    assert "pytest" not in seen and "entry.py" not in seen, seen
