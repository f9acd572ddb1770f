"""The waiting jobs of a plan and their reasons, made when somebody looks: a replay looks at few of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from pearlstreet.compute.scheduling.model import I64
from pearlstreet.compute.scheduling.plan import Reason, Wait

Lazy = Reason | Callable[[], Reason]
"""A reason, or how to find it in the state that the cycle ended with."""


class Waits(Sequence[Wait]):
    """Sequence with one entry per waiting job in the planner's order; equal to any sequence of equal entries."""

    def __init__(self, ids: Sequence[str], rows: I64, which: I64, reasons: Sequence[Lazy]) -> None:
        """`rows`: the waiting jobs in order; `which`: for each the index of its reason in `reasons`."""
        self._ids, self._rows, self._which = ids, rows, which
        self._reasons = list(reasons)
        self._lines: tuple[Wait, ...] | None = None

    def _reason(self, number: int) -> Reason:
        """Return a reason by its number, worked out once.

        In the order of the lines: a start estimate builds on those before.
        """
        found = self._reasons[number]
        if not isinstance(found, Reason):
            found = self._reasons[number] = found()
        return found

    @property
    def lines(self) -> tuple[Wait, ...]:
        """Return all entries."""
        if self._lines is None:
            ids = self._ids
            self._lines = tuple(
                Wait(ids[row], position, self._reason(number))
                for position, (row, number) in enumerate(
                    zip(self._rows.tolist(), self._which.tolist(), strict=True), start=1
                )
            )
        return self._lines

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Wait: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Wait, ...]: ...
    def __getitem__(self, index: int | slice) -> Wait | tuple[Wait, ...]:
        return self.lines[index]

    def __iter__(self) -> Iterator[Wait]:
        return iter(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.lines == tuple(other)

    def __hash__(self) -> int:
        return hash(self.lines)

    def __repr__(self) -> str:
        return f"Waits({list(self.lines)!r})"
