"""Time, randomness, the environment, other programs and the terminal each have a home; elsewhere they are handed in.

tests/tidy/allowed.toml names the homes with the reason; an entry that nothing needs any more fails too.
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

import pytest
from tests.tidy.source import dotted_uses, modules

RULES = {
    "wall_time": r"time\.(time|time_ns|localtime|gmtime)|datetime\.(datetime|date)\.(now|utcnow|today)",
    "waiting": r"time\.(sleep|monotonic|monotonic_ns|perf_counter|perf_counter_ns)",
    "randomness": r"(random|secrets|uuid|numpy\.random)\..*|os\.urandom",
    "environment": r"os\.(environ|environb|getenv|putenv)(\..*)?",
    "programs": r"subprocess\.(run|Popen|call|check_call|check_output)|os\.(system|popen|fork|exec\w+|spawn\w+|posix_spawn\w*)|multiprocessing\..*",
    "terminal": r"builtins\.(print|input)|sys\.(stdin|stdout|stderr)(\..*)?",
    "unsafe": r"(pickle|marshal|shelve|dill|cloudpickle)\..*|builtins\.(eval|exec|compile)|yaml\.(load|unsafe_load)",
}
ALLOWED: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_name("allowed.toml").read_text(encoding="utf-8")
)


@functools.cache
def _uses() -> list[tuple[str, str, int]]:
    """(path, full dotted name, line) of every use in the product, for all rules."""
    return [(path, name, line) for path, tree in modules().items() for name, line in dotted_uses(tree)]


def _home(rule: str, path: str) -> str | None:
    return next(
        (prefix for prefix in ALLOWED.get(rule, {}) if path == prefix or path.startswith(f"{prefix}/")), None
    )


@pytest.mark.parametrize("rule", sorted(RULES))
def test_it_stays_at_home(rule: str) -> None:
    pattern = re.compile(RULES[rule])
    strays, used = set(), set()
    for path, name, line in _uses():
        if pattern.fullmatch(name):
            home = _home(rule, path)
            if home is None:
                strays.add(f"src/pearlstreet/{path}:{line} {name}")
            else:
                used.add(home)
    assert not strays, "hand it in, or give it a home in allowed.toml:\n" + "\n".join(sorted(strays))
    idle = set(ALLOWED.get(rule, {})) - used
    assert not idle, f"allowed but not needed: {sorted(idle)}"


def test_only_rules_that_exist_are_allowed_for() -> None:
    assert set(ALLOWED) <= set(RULES)


def test_the_rules_see_through_aliases() -> None:
    import ast

    source = "import time as t\nfrom os import environ as e\nfrom datetime import datetime\nt.time()\ne['x']\ndatetime.now()\nprint(1)\n"
    names = {name for name, _ in dotted_uses(ast.parse(source))}
    assert {"time.time", "os.environ", "datetime.datetime.now", "builtins.print"} <= names
