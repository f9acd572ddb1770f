"""Slurm's lists of hosts, such as `n[1-3,07],gpu1`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = re.compile(r"((?:[^,\[]|\[[^\]]*(?:\]|$))+)")
HOSTS_MAX = 100_000
"""Hosts that one list may name, so that a broken answer cannot fill the memory."""


def expand_hosts(hosts: str) -> tuple[str, ...]:
    """Return the names in a list of hosts, in its order. Raises ValueError for a list that cannot be read."""
    found: list[str] = []
    for part in _PART.findall(hosts):
        for name in _expand(part):
            found.append(name)
            if len(found) > HOSTS_MAX:
                raise ValueError(f"more than {HOSTS_MAX} hosts")
    return tuple(found)


def expand_numbers(ranges: str) -> Iterator[str]:
    """Yield the numbers of `0-3,08`, with their leading zeros."""
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        last = last or first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise ValueError(f"{part!r} is no range of numbers")
        width = len(first) if first.startswith("0") else 0
        for number in range(int(first), int(last) + 1):
            yield f"{number:0{width}d}"


def _expand(part: str) -> Iterator[str]:
    head, bracket, rest = part.partition("[")
    if not bracket:
        yield part
        return
    ranges, closed, tail = rest.partition("]")
    if not closed:
        raise ValueError(f"{part!r} has no closing bracket")
    for number in expand_numbers(ranges):
        for end in _expand(tail) if tail else ("",):
            yield f"{head}{number}{end}"
