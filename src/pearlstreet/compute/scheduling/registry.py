"""All policies, by name. A new policy is one file and one line here, or a plugin (`base/plugins.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.plugins import Parts
from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling.backfill.conservative import CONSERVATIVE
from pearlstreet.compute.scheduling.backfill.easy import EASY
from pearlstreet.compute.scheduling.backfill.greedy import GREEDY
from pearlstreet.compute.scheduling.backfill.protocol import Backfill
from pearlstreet.compute.scheduling.backfill.strict import STRICT
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.elasticity.grow import Grow
from pearlstreet.compute.scheduling.elasticity.grow_shrink import GrowShrink
from pearlstreet.compute.scheduling.elasticity.protocol import Elasticity
from pearlstreet.compute.scheduling.elasticity.shrink import Shrink
from pearlstreet.compute.scheduling.order.deadline import Deadline
from pearlstreet.compute.scheduling.order.fair_share import FairShare
from pearlstreet.compute.scheduling.order.fifo import Fifo
from pearlstreet.compute.scheduling.order.gittins import Gittins
from pearlstreet.compute.scheduling.order.las import Las
from pearlstreet.compute.scheduling.order.priority import Priority
from pearlstreet.compute.scheduling.order.protocol import Order
from pearlstreet.compute.scheduling.order.shortest import Shortest
from pearlstreet.compute.scheduling.placement import best_fit, dot_product, pack, spread, topology
from pearlstreet.compute.scheduling.placement.expected_fill import ExpectedFill
from pearlstreet.compute.scheduling.placement.first_fit import FirstFit
from pearlstreet.compute.scheduling.placement.fragmentation import Fragmentation
from pearlstreet.compute.scheduling.placement.per_yuan import PerYuan
from pearlstreet.compute.scheduling.placement.protocol import Placement, plain
from pearlstreet.compute.scheduling.preemption.priority import ByPriority
from pearlstreet.compute.scheduling.preemption.protocol import Preemption
from pearlstreet.compute.scheduling.preemption.rank import ByRank

ORDERS: Mapping[str, Order] = Parts(
    "pearlstreet.orders",
    {
        "deadline": Deadline(),
        "fair-share": FairShare(),
        "fifo": Fifo(),
        "gittins": Gittins(),
        "las": Las(),
        "priority": Priority(),
        "priority-fair-share": FairShare(across_accounts=True),
        "shortest": Shortest(),
    },
)

PLACEMENTS: Mapping[str, Placement] = Parts(
    "pearlstreet.placements",
    {
        "best-fit": plain(best_fit.score),
        "dot-product": plain(dot_product.score, joint=True),
        "expected-fill": ExpectedFill,
        "first-fit": FirstFit,
        "fragmentation": Fragmentation,
        "pack": plain(pack.score),
        "per-yuan": PerYuan,
        "spread": plain(spread.score),
        "topology": plain(topology.score),
    },
)

BACKFILLS: Mapping[str, Backfill] = Parts(
    "pearlstreet.backfills",
    {"conservative": CONSERVATIVE, "easy": EASY, "greedy": GREEDY, "strict": STRICT},
)
PREEMPTIONS: Mapping[str, Preemption | None] = Parts(
    "pearlstreet.preemptions",
    {
        "none": None,
        "priority": ByPriority(),
        "priority-across-accounts": ByPriority(across_accounts=True),
        "rank": ByRank(),
    },
)
ELASTICITIES: Mapping[str, Elasticity | None] = Parts(
    "pearlstreet.elasticities",
    {"none": None, "shrink": Shrink(), "grow": Grow(), "grow-shrink": GrowShrink()},
)

LABELS: Mapping[str, Mapping[str, Text]] = MappingProxyType(
    {
        "order": {
            "deadline": text("by priority across accounts, then deadline"),
            "fair-share": text("fair between accounts; priority counts inside a project"),
            "fifo": text("first come, first served, across all accounts"),
            "gittins": text("by priority across accounts, then who likely ends soon"),
            "las": text("by priority across accounts, then least attained service"),
            "priority": text("by priority across accounts"),
            "priority-fair-share": text("by priority across accounts, then fair between accounts"),
            "shortest": text("by priority across accounts, then shortest remaining work"),
        },
        "preemption": {
            "none": text("nobody is stopped for another job"),
            "priority": text("a higher priority stops jobs of its own project; guarantees stop borrowers"),
            "priority-across-accounts": text("a higher priority stops jobs of any account"),
            "rank": text("jobs earlier in the order stop later ones, in any account"),
        },
    }
)
"""Notes on a policy's effect on other accounts, where policies of a kind differ in it."""


def labels(kind: str) -> Mapping[str, Text]:
    """Return the labels of the policies of a kind; none where all treat accounts alike."""
    return LABELS.get(kind, {})


_PARTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "order": ORDERS, "placement": PLACEMENTS, "backfill": BACKFILLS, "preemption": PREEMPTIONS,
        "elasticity": ELASTICITIES,
    }
)  # fmt: skip
"""Policies of every kind."""


def kinds() -> Mapping[str, tuple[str, ...]]:
    """Return names of the policies of every kind, sorted."""
    return {kind: tuple(sorted(parts)) for kind, parts in _PARTS.items()}


def check_config(config: PlannerConfig) -> None:
    """Raise InvalidInput when the configuration, or one of its queues, names a policy that there is not."""
    for kind, parts in _PARTS.items():
        for name in (getattr(config, kind), *(getattr(queue, kind) for queue in config.queues)):
            if name is not None and name not in parts:
                raise InvalidInput(
                    text("There is no {kind} policy named {name}", kind=kind, name=name),
                    hint=text("Use one of {names}", names=", ".join(sorted(parts))),
                )
