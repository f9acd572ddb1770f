"""PURE: matches files of $PEARL_OUTPUTS against a job's patterns, in polynomial time whatever the patterns."""

from __future__ import annotations

from collections.abc import Sequence

DEEP = "**"


def is_kept(patterns: Sequence[str], path: str) -> bool:
    """Return whether one of `patterns` matches `path` or a folder that contains it; without patterns all files match.

    `*` matches any characters within a name, `**` as a whole part any number of folders; nothing else is special.
    """
    parts = path.split("/")
    return not patterns or any(_matches(_split(pattern), parts) for pattern in patterns)


def _split(pattern: str) -> list[str]:
    """Return the parts of a pattern with `**` appended, because a folder stands for everything in it."""
    return [part for part in pattern.split("/") if part not in ("", ".")] + [DEEP]


def _matches(wanted: list[str], parts: list[str]) -> bool:
    """Match parts greedily: after a mismatch the last `**` takes one more part, so the steps are at most the product of lengths."""
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
