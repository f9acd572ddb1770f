"""Reading numbers and tables out of what vendor tools print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pearlstreet.base.units import GIB

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)?\b", re.IGNORECASE)
_PAIR = re.compile(r"(\d+)\s*(?:MiB|MB)?\s*/\s*(\d+)\s*(?:MiB|MB)?", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
MIB_PER_GIB = 1024.0


def number(value: object) -> float | None:
    """Return the first number in `value` (`"36.0 C"` → 36.0), None for `N/A`, `-`, empty or absent."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _NUMBER.search(str(value))
    return float(match.group()) if match else None


def mib_as_gib(value: object) -> float | None:
    """Return GiB from a number of MiB with or without its unit."""
    mib = number(value)
    return None if mib is None else mib / MIB_PER_GIB


def amount_gib(value: object, unit: str = "MiB") -> float | None:
    """Return GiB from `"23308 MiB"`; `unit` where none is written. Vendors write MB and mean MiB."""
    match = _AMOUNT.search(str(value)) if value is not None else None
    if match is None:
        return None
    size = (match[2] or unit).lower().replace("i", "")
    return float(match[1]) * _UNITS[size] / GIB


def used_and_total_gib(text: str) -> tuple[float, float] | None:
    """Return the last `used / total` pair of MiB in `text` whose total is not zero."""
    pairs = [(int(used), int(total)) for used, total in _PAIR.findall(text) if int(total) > 0]
    return (pairs[-1][0] / MIB_PER_GIB, pairs[-1][1] / MIB_PER_GIB) if pairs else None


def bar_rows(output: str) -> Iterator[list[str]]:
    """Yield cells of every line framed by `|`, stripped."""
    for line in output.splitlines():
        bare = line.strip()
        if bare.startswith("|") and bare.endswith("|") and len(bare) > 1:
            yield [cell.strip() for cell in bare[1:-1].split("|")]


def json_in(output: str) -> object:
    """Return the JSON value in `output`, past warnings printed before it; None when there is none."""
    for start in (index for index, letter in enumerate(output) if letter in "{["):
        try:
            return json.JSONDecoder().raw_decode(output, start)[0]
        except ValueError:
            continue
    return None


def sections(output: str, head: re.Pattern[str]) -> list[tuple[str, dict[str, str]]]:
    """Return blocks that begin at a line matching `head` (its group 1 names the block).

    Keys are joined to the heading they are indented under: `Power/Usage`. The first value of a key wins.
    """
    found: list[tuple[str, dict[str, str]]] = []
    path: list[tuple[int, str]] = []
    for line in output.splitlines():
        match = head.match(line)
        if match:
            found.append((match[1], {}))
            path = []
            continue
        if not found or not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        name, _, value = (part.strip() for part in line.partition(":"))
        path = [step for step in path if step[0] < indent]
        if value:
            found[-1][1].setdefault("/".join([*(step[1] for step in path), name]), value)
        else:
            path.append((indent, name))
    return found
