"""PURE: finds cycles in the dependencies between jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text


def find_cycle(waits_for: Mapping[str, Iterable[str]]) -> tuple[str, ...] | None:
    """Return the jobs of a dependency cycle, with the first one repeated at the end; None if there is no cycle.

    The search uses an explicit stack, so that a chain of 100,000 jobs does not exceed the recursion limit.
    """
    done: set[str] = set()
    for start in waits_for:
        if start in done:
            continue
        path: list[str] = [start]
        on_path = {start: 0}
        rest = [iter(waits_for.get(start, ()))]
        while rest:
            following = next(rest[-1], None)
            if following is None:
                rest.pop()
                left = path.pop()
                del on_path[left]
                done.add(left)
            elif following in on_path:
                return (*path[on_path[following] :], following)
            elif following not in done:
                on_path[following] = len(path)
                path.append(following)
                rest.append(iter(waits_for.get(following, ())))
    return None


def check_no_cycle(waits_for: Mapping[str, Iterable[str]], field: str = "depends_on") -> None:
    """Raise InvalidInput, naming the cycle, if jobs wait for each other."""
    cycle = find_cycle(waits_for)
    if cycle is not None:
        shown: Sequence[str] = cycle if len(cycle) <= 8 else (*cycle[:4], "…", *cycle[-2:])
        message = text("These jobs wait for each other: {jobs}", jobs=" → ".join(shown))
        raise InvalidInput(message, problems=[Problem(field, message)])
