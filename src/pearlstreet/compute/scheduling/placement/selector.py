"""Selects nodes by their scores, and devices of a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import ALL, Chunk, FreeCapacity, Need, Rows
from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.placement.protocol import Choice, IncrementalScorer, Scorer, Spot

Placed = tuple[Need, Chunk]
_RUNNERS = 3
"""Largest number of alternative nodes that a choice reports."""


class _TableKey(NamedTuple):
    need: Need
    lasting: bool


class _Gang(NamedTuple):
    """Nodes for a gang, with what they are compared by: nearness first, then the sum of their scores."""

    level: int
    score: float
    need: Need
    picks: list[tuple[int, int]]
    """Nodes, and the tasks on each."""


@dataclass(slots=True)
class _ScoreTable:
    """Fit and score of every node for one need, updated where the capacity changed."""

    fit: I64
    score: F64
    batch: I64
    seen: int


class NodeSelector:
    """Selects nodes and devices in one free capacity with one scorer; remembers fits between calls.

    Each question names the needs a request may be met by, the weakest model first. A scorer that is joint is asked with
    all of them, any other with one at a time.
    """

    def __init__(self, capacity: FreeCapacity, scorer: Scorer, *, explains: bool = False) -> None:
        """`explains`: record the alternatives of each choice in `choices`."""
        self.capacity = capacity
        self.explains = explains
        self.choices: list[Choice | None] = []
        """Choices for the tasks or gang placed last, in their order; None where no single node was chosen."""
        self.scorer = scorer
        # not isinstance, which is slow for protocols: each cycle makes a selector
        self._incremental = cast(IncrementalScorer, scorer) if hasattr(scorer, "best") else None
        self._tables: dict[_TableKey, _ScoreTable] = {}

    def end_cycle(self) -> None:
        """End the cycle."""
        if self._incremental is not None:
            self._incremental.end_cycle()

    def forget(self) -> None:
        """Drop the cached fits of jobs that outlast reservations, since a reservation changed."""
        self._tables = {key: table for key, table in self._tables.items() if not key.lasting}

    def _compute(self, need: Need, rows: Rows, lasting: bool) -> tuple[I64, F64, I64]:
        if self._incremental is not None and not lasting:
            fit = self._incremental.fit(self.capacity, need)[rows].copy()
        else:
            fit = self.capacity.fit(need, rows, lasting)
        # an incremental scorer may change scores of nodes that no placement touched, so it is asked for each choice
        if self._incremental is not None or not fit.any():
            return fit, np.full(len(fit), np.inf), fit.copy()
        score, batch = self.scorer.score(self.capacity, need, rows, fit, lasting)
        return fit, np.where(fit > 0, score, np.inf), batch

    def fit(self, need: Need) -> I64:
        """Return how many tasks each node can take now, reservations aside. Good until something is taken."""
        return (
            self._incremental.fit(self.capacity, need)
            if self._incremental is not None
            else self.table(need, False).fit
        )

    def table(self, need: Need, lasting: bool) -> _ScoreTable:
        """Fit, score and batch of every node."""
        lasting = lasting and self.capacity.reserved
        touched = self.capacity.touched
        key = _TableKey(need, lasting)
        table = self._tables.get(key)
        if table is None:
            table = _ScoreTable(*self._compute(need, ALL, lasting), seen=len(touched))
            self._tables[key] = table
        elif table.seen < len(touched):
            rows = np.array(sorted(set(touched[table.seen :])), dtype=np.int64)
            table.fit[rows], table.score[rows], table.batch[rows] = self._compute(need, rows, lasting)
            table.seen = len(touched)
        return table

    def singles(self, needs: tuple[Need, ...], wanted: int, lasting: bool) -> list[Placed]:
        """Place up to `wanted` single tasks, each on its best node, and take them out of the capacity."""
        taken: list[Placed] = []
        self.choices = []
        while len(taken) < wanted:
            spot = self._best(needs, lasting) if len(needs) > 1 or self._incremental is not None else None
            if spot is not None:
                if self.explains:
                    self.choices.append(self._choice(spot, lasting))
                taken += self._take_at(spot, lasting)
                continue
            more = self._sweep(needs[0], wanted - len(taken), lasting) if self._single(needs) else []
            if not more:
                break
            taken += more
            if self.explains:
                self.choices += [None] * (len(taken) - len(self.choices))
        return taken

    def _choice(self, spot: Spot, lasting: bool) -> Choice:
        """Return the alternatives examined while a spot was searched; called before the spot is taken."""
        if self._incremental is not None:
            return self._incremental.choice(self.capacity, spot)
        return runners_up(self.table(spot.need, lasting).score, spot.node)

    def _single(self, needs: tuple[Need, ...]) -> bool:
        return len(needs) == 1 and self._incremental is None

    def _sweep(self, need: Need, wanted: int, lasting: bool) -> list[Placed]:
        table = self.table(need, lasting)
        if not table.fit.any():
            return []
        if wanted == 1:
            node = _lowest(table, self.capacity)
            picks = [] if node is None else [(node, 1)]
            if self.explains and node is not None:
                self.choices.append(runners_up(table.score, node))
        else:
            picks = _sweep(table, self.capacity.tie, wanted)
        return [placed for node, count in picks for placed in self.take(node, count, need, lasting)]

    def _best(self, needs: tuple[Need, ...], lasting: bool) -> Spot | None:
        """Return the best place on any of the models."""
        lasting = lasting and self.capacity.reserved
        if self._incremental is not None:
            return self._incremental.best(self.capacity, needs, lasting)
        best: Spot | None = None
        lowest: tuple[float, int] | None = None
        for need in needs:
            table = self.table(need, lasting)
            node = _lowest(table, self.capacity)
            if node is not None:
                rank = float(table.score[node]), int(self.capacity.tie[node])
                if lowest is None or rank < lowest:
                    best, lowest = Spot(node, need, None), rank
        return best

    def gang(self, needs: tuple[Need, ...], tasks: int, lasting: bool) -> list[Placed]:
        """Place all tasks of a gang, as near to each other as possible, or none, and take them out of the capacity.

        Of several models the one whose nodes lie nearest to each other, then the one that scores best.
        """
        best: _Gang | None = None
        self.choices = []
        for need in needs:
            table = self.table(need, lasting)
            if self._incremental is not None:
                self._rescore(table, need, tasks, lasting)
            level, picks = nearest_nodes(self.capacity, table.fit, table.score, tasks)
            if picks:
                total = sum(float(table.score[node]) * count for node, count in picks)
                if best is None or (level, total) < (best.level, best.score):
                    best = _Gang(level, total, need, picks)
        if best is None:
            return []
        level, _, need, picks = best
        if self.explains and level == 0:
            table = self.table(need, lasting)
            choice = runners_up(np.where(table.fit >= tasks, table.score, np.inf), picks[0][0])
            self.choices = [choice if self._incremental is None else self._incremental.told(need, choice)]
        return [placed for node, count in picks for placed in self.take(node, count, need, lasting)]

    def _rescore(self, table: _ScoreTable, need: Need, tasks: int, lasting: bool) -> None:
        """Score the nodes on which a task fits, unless all of them together cannot hold the gang."""
        rows = (table.fit > 0).nonzero()[0]
        if int(np.minimum(table.fit[rows], tasks).sum()) >= tasks:
            held = lasting and self.capacity.reserved
            table.score[rows] = self.scorer.score(self.capacity, need, rows, table.fit[rows], held)[0]

    def _take_at(self, spot: Spot, lasting: bool) -> list[Placed]:
        chunk = pick(self.capacity, spot.node, spot.need, lasting, spot.device)
        self.capacity.take(chunk, spot.need, lasting=lasting)
        return [(spot.need, chunk)]

    def take(self, node: int, count: int, need: Need, lasting: bool) -> list[Placed]:
        """Return chunks for `count` tasks on one node, with their devices, and subtract them; the caller knows that they fit."""
        placed = []
        for _ in range(count):
            device = self.scorer.device(self.capacity, need, node, lasting) if need.is_share else None
            chunk = pick(self.capacity, node, need, lasting, device)
            self.capacity.take(chunk, need, lasting=lasting)
            placed.append((need, chunk))
        return placed


def runners_up(score: F64, node: int) -> Choice:
    """Return the alternatives of a node that was chosen by plain scores."""
    scores, nodes = [float(score[node])], [node]
    equal = int((score == scores[0]).sum()) - 1
    left = np.where(score <= scores[0], np.inf, score)
    while len(nodes) <= _RUNNERS:
        after = int(left.argmin())
        if left[after] == np.inf:
            break
        scores.append(float(left[after]))
        nodes.append(after)
        left[left == scores[-1]] = np.inf
    return Choice(scores, nodes, equal)


def _lowest(table: _ScoreTable, capacity: FreeCapacity) -> int | None:
    """Return the node of the lowest score; None when nothing fits anywhere."""
    score = table.score
    if not len(score):
        return None
    least = score.min()
    if least == np.inf:
        return None
    equal = (score == least).nonzero()[0]
    return int(equal[0]) if len(equal) == 1 else capacity.first(equal)


def _sweep(table: _ScoreTable, tie: I64, wanted: int) -> list[tuple[int, int]]:
    """Return nodes in the order of their score and how many tasks each takes, at most `wanted` in all.

    Ends after the first node on which more tasks fit beyond its batch: scored again, it may still be the best.
    """
    able = (table.fit > 0).nonzero()[0]
    order = able[np.lexsort((tie[able], table.score[able]))]
    amount = np.minimum(table.batch[order], wanted)
    before = np.cumsum(amount) - amount
    partial = (table.batch[order] < table.fit[order]).nonzero()[0]
    last = min(int(np.searchsorted(before, wanted)), int(partial[0]) + 1 if len(partial) else len(order))
    counts = np.minimum(amount[:last], wanted - before[:last])
    return list(zip(order[:last].tolist(), counts.tolist(), strict=True))


def nearest_nodes(
    capacity: FreeCapacity, fit: I64, score: F64, tasks: int
) -> tuple[int, list[tuple[int, int]]]:
    """Nodes for a gang: one node if one can hold it, else one rack, else one POD, else the fewest nodes anywhere.

    Also says which it was, 0 to 3. No nodes when it does not fit.
    """
    fit = np.minimum(fit, tasks)
    if not len(fit) or int(fit.sum()) < tasks:
        return 3, []
    tie = capacity.tie
    alone = (fit >= tasks).nonzero()[0]
    if len(alone):
        return 0, [(int(alone[np.lexsort((tie[alone], score[alone]))[0]]), tasks)]
    inside = (fit > 0).nonzero()[0]
    for level, group in ((1, capacity.rack), (2, capacity.pod)):
        known = inside[group[inside] >= 0]
        if not len(known):
            continue
        sums = np.bincount(group[known], weights=fit[known].astype(np.float64))
        enough = (sums >= tasks).nonzero()[0]
        if len(enough):
            first = np.full(len(sums), len(fit))
            np.minimum.at(
                first, group[known], tie[known]
            )  # ties between racks are decided by the rank of their first node
            best = enough[np.lexsort((first[enough], sums[enough]))[0]]
            return level, _fewest(known[group[known] == best], fit, score, tie, tasks)
    return 3, _fewest(inside, fit, score, tie, tasks)


def _fewest(rows: I64, fit: I64, score: F64, tie: I64, tasks: int) -> list[tuple[int, int]]:
    """Fill the roomiest nodes first; the rest goes to the best-scored node that holds it."""
    order = rows[np.lexsort((tie[rows], score[rows], -fit[rows]))]
    after = np.cumsum(fit[order])
    full = int(np.searchsorted(after, tasks, side="right"))
    picks = [(int(node), int(fit[node])) for node in order[:full]]
    rest = tasks - (int(after[full - 1]) if full else 0)
    if rest:
        remaining = order[full:]
        able = remaining[fit[remaining] >= rest]
        best = able[np.lexsort((tie[able], score[able]))[0]]
        picks.append((int(best), rest))
    return picks


def pick(capacity: FreeCapacity, node: int, need: Need, lasting: bool, device: int | None = None) -> Chunk:
    """Devices of `node` for one task: whole ones from the tightest link group, a share on `device` or the tightest."""
    if need.model < 0:
        return Chunk(node, (), (), ())
    if need.is_share:
        best = tightest(capacity, node, need, lasting) if device is None else device
        return Chunk(node, (best,), (need.share_memory,), (need.share_compute,))
    free = np.flatnonzero(capacity.whole(need.model, np.array([node]), lasting)[0])
    chosen = _from_links(free.tolist(), capacity.link[node].tolist(), need.count)
    memory = capacity.device_total[node]
    return Chunk(node, tuple(chosen), tuple(int(memory[d]) for d in chosen), (FULL_BP,) * need.count)


def tightest(capacity: FreeCapacity, node: int, need: Need, lasting: bool) -> int:
    """Return the device with the least compute, then memory, left once the share is cut from it."""
    row = np.array([node])
    copies = capacity.copies(need, row, lasting)[0]
    memory, compute = capacity.free_devices(row, lasting)
    able = (copies > 0).nonzero()[0]
    left_over = np.minimum(compute[0][able] - need.share_compute, FULL_BP) * (1 << 24)
    return int(able[np.argmin(left_over + memory[0][able])])


def _from_links(free: list[int], link: list[int], count: int) -> list[int]:
    """`count` of the free positions: one link group if possible (the smallest that holds them), else the largest."""
    groups: dict[int, list[int]] = {}
    for position in free:
        groups.setdefault(link[position], []).append(position)
    enough = [group for group in groups.values() if len(group) >= count]
    if enough:
        return min(enough, key=lambda group: (len(group), group))[:count]
    chosen: list[int] = []
    for group in sorted(groups.values(), key=lambda group: (-len(group), group)):
        chosen += group[: count - len(chosen)]
    return chosen
