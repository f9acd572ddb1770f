"""Where chance comes from: Hypothesis, which makes what failed small, or plain random numbers, which are quick.

A generator takes dice and returns a value. `drawn` makes a Hypothesis strategy of it; `Thrown` runs it several times as often
in the same time, and names a case by its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
P = ParamSpec("P")


class Dice(Protocol):
    """A source of chance."""

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""

    def yes(self) -> bool:
        """Or no."""

    def order(self, count: int) -> list[int]:
        """The numbers below count, shuffled."""


Law = Callable[[Dice], None]
"""Makes a case and raises AssertionError where it does not hold."""


class Drawn:
    """By Hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        return self._draw(st.sampled_from(options))

    def yes(self) -> bool:
        return self._draw(st.booleans())

    def order(self, count: int) -> list[int]:
        return list(self._draw(st.permutations(range(count))))


class Thrown:
    """By a seed."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def pick(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def yes(self) -> bool:
        return self._random.random() < 0.5

    def order(self, count: int) -> list[int]:
        return self._random.sample(range(count), count)


def drawn(make: Callable[Concatenate[Dice, P], T]) -> Callable[P, st.SearchStrategy[T]]:
    """The strategy of a generator."""

    @st.composite
    def strategy(draw: st.DrawFn, *args: P.args, **kwargs: P.kwargs) -> T:
        return make(Drawn(draw), *args, **kwargs)

    return strategy
