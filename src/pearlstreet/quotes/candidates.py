"""PURE: the candidates of a quote: on which hardware of the center, and how much of it, a workload could run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.catalogue.cluster import parse_cluster
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.node_table import GFLOPS_PER_PFLOPS
from pearlstreet.compute.scheduling.rows import Quota, match_models
from pearlstreet.quotes.model import Wanted

MOST_CARDS = 65_536
CPUS_A_CARD, MEMORY_GIB_A_CARD = 8.0, 64.0
"""CPU cores and GiB of memory per accelerator that a task gets by default, where the node has that much."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A number of tasks with a number of accelerators each, of one model."""

    model: str
    """Accelerator model, as the center's nodes report it, or its id in the catalogue."""
    tasks: int
    per_task: int
    per_node: int
    """Number of accelerators of a node."""
    owned: bool
    cpus_a_card: float
    """CPU cores per accelerator of the smallest node with that many accelerators."""
    memory_gib_a_card: float
    pflops: float | None
    """Normalised PFLOPS of one accelerator; None: not known."""
    engines: tuple[str, ...] = ()
    """Engines of the center whose own nodes can hold all tasks; empty: not known, or hypothetical."""

    @property
    def count(self) -> int:
        """Return the number of accelerators of all tasks."""
        return self.tasks * self.per_task


@dataclass(frozen=True, slots=True)
class _Stock:
    """Nodes of one engine and one model with the same number of healthy accelerators."""

    engine: str
    model: str
    per_node: int
    nodes: int
    cpus_a_card: float
    memory_gib_a_card: float
    pflops: float | None


def candidates(
    snapshot: Snapshot | None, wanted: Wanted, engines: Collection[str] = ()
) -> tuple[Candidate, ...]:
    """Return the candidates: hardware of the center, or the hypothetical hardware. Raises InvalidInput for unknown names.

    `engines`: those that can run the job and that its queue allows, whose nodes alone count; empty: all.
    """
    if wanted.hypothetical:
        return tuple(_hypothetical(wanted.hypothetical))
    stocks = _stocks(snapshot) if snapshot is not None else []
    stocks = [stock for stock in stocks if not engines or stock.engine in engines]
    if wanted.accelerators:
        stocks = _named(stocks, wanted.accelerators, () if snapshot is None else snapshot.models)
    return _merged(one for stock in stocks for one in _of(stock, wanted))


def _merged(found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return candidates of equal shape as one, with all their engines and the host resources of the poorest."""
    merged: dict[tuple[str, int, int, int], Candidate] = {}
    for one in found:
        shape = (one.model, one.tasks, one.per_task, one.per_node)
        known = merged.get(shape, one)
        merged[shape] = replace(
            known,
            cpus_a_card=min(known.cpus_a_card, one.cpus_a_card),
            memory_gib_a_card=min(known.memory_gib_a_card, one.memory_gib_a_card),
            engines=tuple(sorted({*known.engines, *one.engines})),
        )
    return tuple(merged.values())


def at_work(snapshot: Snapshot, model: str, per_task: int, engines: Collection[str] = ()) -> int:
    """Return how many tasks with `per_task` accelerators of a model fit on the empty nodes in service of the best engine.

    `engines`: those that may take them; empty: all.
    """
    fits = Counter[str]()
    for stock in _stocks(snapshot):
        if stock.model == model and (not engines or stock.engine in engines):
            fits[stock.engine] += stock.nodes * (stock.per_node // per_task)
    return max(fits.values(), default=0)


def _matching(name: str, models: Sequence[str]) -> set[str]:
    book = catalogue()
    return {*match_models((name,), models), *(model for model in models if book.matches(name, model))}


def _named(stocks: Sequence[_Stock], names: Sequence[str], there: Sequence[str]) -> list[_Stock]:
    """Return the stocks that match the names. `there`: every model of the center, in service or not."""
    models = tuple(dict.fromkeys(stock.model for stock in stocks))
    problems, allowed = [], set()
    book = catalogue()
    for number, name in enumerate(names):
        mine = _matching(name, models)
        allowed |= mine
        if not mine and (idle := _matching(name, there)):
            message = text("No node with {models} takes work now", models=", ".join(sorted(idle)))
            hint = text("They are drained, unhealthy or away: see pearl nodes")
            problems.append(Problem(f"wanted.accelerators[{number}]", message, hint=hint))
        elif not mine:
            known = book.find(name)
            message = (
                text("The center has no {accelerator}", accelerator=known.name)
                if known is not None
                else text("The catalogue has no accelerator called {name}", name=repr(name[:60]))
            )
            near = book.suggest(name)
            hint = (
                text("It has {models}", models=", ".join(models))
                if known is not None or not near
                else text("Did you mean {names}?", names=", ".join(near))
            )
            problems.append(Problem(f"wanted.accelerators[{number}]", message, hint=hint))
    if problems:
        raise InvalidInput(text("The offers cannot be narrowed to this"), problems=problems)
    return [stock for stock in stocks if stock.model in allowed]


def _stocks(snapshot: Snapshot) -> list[_Stock]:
    """Return the nodes in service by model and number of healthy accelerators."""
    nodes, found = snapshot.nodes, []
    for number, model in enumerate(snapshot.models):
        usable = (nodes.device_model == number) & nodes.device_healthy & nodes.schedulable[:, None]
        each = usable.sum(axis=1)
        gflops = int(snapshot.model_gflops[number])
        kinds = Counter(zip(nodes.domain.tolist(), each.tolist(), strict=True))
        for (domain, size), count in sorted(kinds.items(), key=lambda item: (item[0][1], item[0][0])):
            if not size:
                continue
            here = np.flatnonzero((each == size) & (nodes.domain == domain))
            found.append(
                _Stock(
                    snapshot.domains[domain] if domain < len(snapshot.domains) else "",
                    model,
                    size,
                    count,
                    float(nodes.cpu_total[here].min()) / 1000 / size,
                    float(nodes.memory_total[here].min()) / 1024 / size,
                    gflops / GFLOPS_PER_PFLOPS or None,
                )
            )
    return found


def _of(stock: _Stock, wanted: Wanted) -> Iterable[Candidate]:
    for tasks, per_task in _shapes(stock.nodes, stock.per_node, wanted.count):
        count = tasks * per_task
        if count > min(wanted.most or MOST_CARDS, MOST_CARDS) or wanted.count not in (None, count):
            continue
        yield Candidate(
            stock.model, tasks, per_task, stock.per_node, True,
            stock.cpus_a_card, stock.memory_gib_a_card, stock.pflops, (stock.engine,) if stock.engine else (),
        )  # fmt: skip


def _shapes(nodes: int, per_node: int, exactly: int | None) -> list[tuple[int, int]]:
    """Yield (tasks, accelerators of each): powers of two within a node, then whole nodes in powers of two and half-way between."""
    if exactly is not None:
        if exactly <= per_node:
            return [(1, exactly)]
        return (
            [(exactly // per_node, per_node)]
            if exactly % per_node == 0 and exactly <= nodes * per_node
            else []
        )
    inside = [(1, size) for size in steps(per_node) if size == per_node or size & (size - 1) == 0]
    return inside + [(count, per_node) for count in steps(nodes) if count > 1]


def steps(most: int) -> list[int]:
    """Yield 1, 2, 3, 4, 6, 8, 12 … up to `most`, which is always included."""
    found, size = {1, most}, 2
    while size <= most:
        found |= {size, size * 3 // 2} if size * 3 // 2 <= most else {size}
        size *= 2
    return sorted(found)


def _hypothetical(written: str) -> Iterable[Candidate]:
    """Return each group of the hypothetical cluster as one candidate."""
    try:
        groups = parse_cluster(written)
    except InvalidInput as error:
        problem = Problem("wanted.hypothetical", error.message, hint=error.hint)
        raise InvalidInput(text("The hypothetical hardware is not right"), problems=[problem]) from None
    for group in groups:
        if group.accelerator is None or group.nodes * group.devices_per_node > MOST_CARDS:
            message = text("It names between 1 and {most} accelerators of each model", most=MOST_CARDS)
            problem = Problem("wanted.hypothetical", message)
            raise InvalidInput(text("The hypothetical hardware is not right"), problems=[problem])
        yield Candidate(
            group.accelerator.id, group.nodes, group.devices_per_node, group.devices_per_node, False,
            CPUS_A_CARD, MEMORY_GIB_A_CARD, None,
        )  # fmt: skip


def is_allowed(quotas: Iterable[Quota], org: str, project: str, candidate: Candidate, cpus: float) -> bool:
    """Return whether the limits of the organisation and project can ever allow it."""
    for quota in quotas:
        if quota.org != org or quota.project not in ("", project):
            continue
        kind, _, pattern = quota.resource.partition(":")
        ceiling = quota.maximum
        if not quota.borrow and quota.guaranteed is not None:
            ceiling = quota.guaranteed if ceiling is None else min(ceiling, quota.guaranteed)
        if ceiling is None or (pattern and not match_models((pattern,), (candidate.model,))):
            continue
        needed = {
            "cards": float(candidate.count),
            "pflops": candidate.count * (candidate.pflops or 0.0),
            "cpus": cpus,
        }[kind]
        if needed > ceiling + 1e-9:
            return False
    return True
