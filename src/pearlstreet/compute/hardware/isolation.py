"""Levels of isolation between jobs on a machine, and whether a level meets a demand. Pure."""

from __future__ import annotations

from typing import Literal, TypeGuard

from pearlstreet.base.text import Text, text

Isolation = Literal["none", "landlock", "bubblewrap"]
ISOLATIONS: tuple[Isolation, ...] = ("none", "landlock", "bubblewrap")
"""Levels an operator can demand, the weakest first."""
SIMULATED = "simulated"
"""Level of machines that run no code: it meets every demand, because there is nothing to isolate."""


def is_isolation(level: str) -> TypeGuard[Isolation]:
    """Return whether `level` is one that an operator can demand."""
    return level in ISOLATIONS


def is_enough(level: str, minimum: Isolation) -> bool:
    """Return whether `level` meets the demand; a level nobody knows, such as "" of an older report, counts as none."""
    known = ISOLATIONS.index(level) if is_isolation(level) else 0
    return level == SIMULATED or known >= ISOLATIONS.index(minimum)


def strongest(levels: list[str]) -> str:
    """Return the strongest of some levels; none where there is none."""
    return max((level for level in levels if is_isolation(level)), key=ISOLATIONS.index, default="none")


def shortfall(node: str, level: str, minimum: Isolation) -> Text | None:
    """Why a node may not run jobs under the demand, in a sentence; None: it may."""
    if is_enough(level, minimum):
        return None
    if not is_isolation(level) or level == "none":
        return text(
            "Node {node} does not isolate jobs; this center demands {minimum}", node=node, minimum=minimum
        )
    return text(
        "Node {node} isolates jobs by {level} only; this center demands {minimum}",
        node=node,
        level=level,
        minimum=minimum,
    )
