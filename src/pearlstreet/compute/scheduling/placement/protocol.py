"""Protocol of placement policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from pearlstreet.compute.scheduling.capacity import FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Snapshot
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


class Scorer(Protocol):
    """Scores nodes for one task of one need; the planner takes the lowest, ties by `capacity.tie`. Made for one cycle."""

    @property
    def joint(self) -> bool:
        """Whether the models a request allows are compared with each other; else the weakest that fits is taken."""
        ...

    def score(
        self, capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool
    ) -> tuple[F64, I64]:
        """Return, for each node of `rows`, its score and the number of equal tasks it may take before it is scored again."""
        ...

    def device(self, capacity: FreeCapacity, need: Need, node: int, lasting: bool) -> int | None:
        """Return the position that a share is cut from; None: the tightest device."""
        ...


@dataclass(frozen=True, slots=True)
class Spot:
    """Best place of a task: a node, one of the needs, and the position of the device for a share (None: the tightest)."""

    node: int
    need: Need
    device: int | None
    equal: int = 0
    """Number of other nodes with exactly the same score."""


class Choice(NamedTuple):
    """Alternatives of a choice, as far as the search examined them; lower scores are better."""

    scores: Sequence[float]
    """Score of the node that was taken, then the next higher scores; `NO_MORE` and above mean that there are none."""
    nodes: Sequence[int]
    """One node for each score."""
    equal: int
    """Number of other nodes with exactly the score of the taken one."""
    step: int = 0
    """Score differences below this only separate otherwise equal nodes."""
    unit: float = 1.0
    """Size of a score that is shown as 1."""


NO_MORE = 1 << 62


@runtime_checkable
class IncrementalScorer(Protocol):
    """A scorer that finds the best node of all by itself, because scores of untouched nodes change as well."""

    def best(self, capacity: FreeCapacity, needs: tuple[Need, ...], lasting: bool) -> Spot | None:
        """Return the best place for one task; None when it fits nowhere."""
        ...

    def fit(self, capacity: FreeCapacity, need: Need) -> I64:
        """Return how many tasks each node can take now, reservations aside."""
        ...

    def choice(self, capacity: FreeCapacity, spot: Spot) -> Choice:
        """Return the alternatives that the search for that spot, the last one, examined."""
        ...

    def told(self, need: Need, choice: Choice) -> Choice:
        """Return the choice with its scores in the policy's unit."""
        ...

    def end_cycle(self) -> None:
        """End the cycle; a scorer may keep what it learnt of the capacity for the next one."""
        ...


Placement = Callable[[Snapshot, PlannerConfig, PlannerCache], Scorer]
"""Makes the scorer of one cycle."""

Score = Callable[[FreeCapacity, Need, Rows, I64, bool], tuple[F64, I64]]


@dataclass(frozen=True, slots=True)
class Plain:
    """Scorer without memory: a function of the free capacity."""

    function: Score
    joint: bool = False

    def score(
        self, capacity: FreeCapacity, need: Need, rows: Rows, fit: I64, lasting: bool
    ) -> tuple[F64, I64]:
        return self.function(capacity, need, rows, fit, lasting)

    def device(self, capacity: FreeCapacity, need: Need, node: int, lasting: bool) -> int | None:
        return None


def plain(function: Score, *, joint: bool = False) -> Placement:
    """Return a policy that needs neither snapshot nor settings."""
    scorer = Plain(function, joint)
    return lambda snapshot, config, cache: scorer
