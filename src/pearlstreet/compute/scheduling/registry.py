"""The policies there are, by name. A new policy is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.order import deadline, fair_share, fifo, priority, shortest
from pearlstreet.compute.scheduling.placement import best_fit, first_fit, pack, spread
from pearlstreet.compute.scheduling.placement.protocol import Scorer

Order = Callable[[Snapshot, PlannerConfig], I64]
"""Numbers of the waiting jobs, the one to consider first in front."""

ORDERS: Mapping[str, Order] = MappingProxyType(
    {
        "deadline": deadline.order,
        "fair-share": fair_share.order,
        "fifo": fifo.order,
        "priority": priority.order,
        "shortest": shortest.order,
    }
)

PLACEMENTS: Mapping[str, Scorer] = MappingProxyType(
    {
        "best-fit": best_fit.score,
        "first-fit": first_fit.score,
        "pack": pack.score,
        "spread": spread.score,
    }
)

BACKFILLS = ("easy", "greedy", "strict")


def check_config(config: PlannerConfig) -> None:
    """Raise InvalidInput when the configuration names a policy that there is not."""
    for kind, name, known in (
        ("order", config.order, tuple(ORDERS)),
        ("placement", config.placement, tuple(PLACEMENTS)),
        ("backfill", config.backfill, BACKFILLS),
    ):
        if name not in known:
            raise InvalidInput(
                text("There is no {kind} policy named {name}", kind=kind, name=name),
                hint=text("Use one of {names}", names=", ".join(sorted(known))),
            )
