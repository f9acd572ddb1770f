"""Which files of $PEARL_OUTPUTS a job wants kept. Pure, and without backtracking a tenant could drive to no end."""

from __future__ import annotations

from collections.abc import Sequence

DEEP = "**"


def is_kept(patterns: Sequence[str], path: str) -> bool:
    """Whether one of `patterns` names `path` or a folder it lies in; no patterns keep everything.

    `*` stands for any characters within a name, `**` as a whole part for any folders; nothing else is special.
    """
    parts = path.split("/")
    return not patterns or any(_matches(_split(pattern), parts) for pattern in patterns)


def _split(pattern: str) -> list[str]:
    """Parts of a pattern; `**` at the end, because a folder means all that is in it."""
    return [part for part in pattern.split("/") if part not in ("", ".")] + [DEEP]


def _matches(wanted: list[str], parts: list[str]) -> bool:
    """Greedy: on a mismatch only the last `**` takes one part more, so steps are bounded by the product of lengths."""
    at, here = 0, 0
    deep, marked = -1, 0
    while at < len(parts):
        if here < len(wanted) and wanted[here] == DEEP:
            deep, marked = here, at
            here += 1
        elif here < len(wanted) and _name_matches(wanted[here], parts[at]):
            at, here = at + 1, here + 1
        elif deep >= 0:
            marked += 1
            at, here = marked, deep + 1
        else:
            return False
    return all(part == DEEP for part in wanted[here:])


def _name_matches(wanted: str, name: str) -> bool:
    if "*" not in wanted:
        return wanted == name
    first, *middle, last = wanted.split("*")
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
