"""Names with ranges as Slurm writes them: `n[01-16,20]` and the sixteen and one names that it stands for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text

NAMES_MAX = 65_536
"""Names of one range; Slurm's own limit for a host list (MAX_RANGE)."""
_PARTS = re.compile(r"\[([^\[\]]*)\]")
_SPAN = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_NUMBERED = re.compile(r"^(.*?)(\d+)$")


def expand(written: str) -> tuple[str, ...]:
    """Return the names of a range, in its order; a name without brackets stands for itself. Raises InvalidInput."""
    pieces = _PARTS.split(written)
    if any(bracket in piece for piece in pieces[::2] for bracket in "[]"):
        raise _bad(written)
    choices = [_numbers(piece, written) if index % 2 else [piece] for index, piece in enumerate(pieces)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > NAMES_MAX:
        raise InvalidInput(
            text("{range} stands for more than {most} names", range=written[:80], most=NAMES_MAX)
        )
    return tuple("".join(combination) for combination in itertools.product(*choices))


def compress(names: Iterable[str]) -> str:
    """Return names as a host list, in their order; consecutive numbers of equal width become a range."""
    found: list[str] = []
    for stem, numbers in itertools.groupby(names, key=_stem):
        group = list(numbers)
        found.append(_range(stem, [name[len(stem[0]) :] for name in group]) if stem[1] else ",".join(group))
    return ",".join(found)


def _stem(name: str) -> tuple[str, int]:
    """Split a name into the part before its last number and the number of digits (0: it ends in no number)."""
    match = _NUMBERED.match(name)
    return (match[1], len(match[2])) if match else (name, 0)


def _range(stem: tuple[str, int], numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return f"{stem[0]}{numbers[0]}"
    spans: list[list[str]] = []
    for number in numbers:
        if spans and int(number) == int(spans[-1][-1]) + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return f"{stem[0]}[{','.join('-'.join(span) for span in spans)}]"


def _numbers(inside: str, written: str) -> list[str]:
    found: list[str] = []
    for part in inside.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise _bad(written)
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first) or int(last) - int(first) >= NAMES_MAX:
            raise _bad(written)
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def _bad(written: str) -> InvalidInput:
    return InvalidInput(
        text("{range} is no range of names", range=repr(written[:80])),
        hint=text("Write for example {example}", example="n[01-16]"),
    )
