"""From scores to nodes, and from a node to devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.model import F64, I64
from pearlstreet.compute.scheduling.placement.protocol import Scorer
from pearlstreet.compute.scheduling.room import ALL, Chunk, Need, Room, Rows


@dataclass(slots=True)
class _Sheet:
    """Fit and score of every node for one need, brought up to date where the room was touched."""

    fit: I64
    score: F64
    batch: I64
    seen: int


class Chooser:
    """Finds nodes and devices in one room with one scoring policy; remembers fits between questions."""

    def __init__(self, room: Room, scorer: Scorer) -> None:
        self.room = room
        self._scorer = scorer
        self._sheets: dict[tuple[Need, bool], _Sheet] = {}

    def forget(self) -> None:
        """Drop what it remembers: a reservation changed what lasting jobs may take."""
        self._sheets = {key: sheet for key, sheet in self._sheets.items() if not key[1]}

    def _compute(self, need: Need, rows: Rows, lasting: bool) -> tuple[I64, F64, I64]:
        fit = self.room.fit(need, rows, lasting)
        score, batch = self._scorer(self.room, need, rows, fit, lasting)
        return fit, np.where(fit > 0, score, np.inf), batch

    def sheet(self, need: Need, lasting: bool) -> _Sheet:
        """Fit, score and batch of every node."""
        lasting = lasting and self.room.reserved
        touched = self.room.touched
        sheet = self._sheets.get((need, lasting))
        if sheet is None:
            sheet = _Sheet(*self._compute(need, ALL, lasting), seen=len(touched))
            self._sheets[(need, lasting)] = sheet
        elif sheet.seen < len(touched):
            rows = np.unique(np.array(touched[sheet.seen :], dtype=np.int64))
            sheet.fit[rows], sheet.score[rows], sheet.batch[rows] = self._compute(need, rows, lasting)
            sheet.seen = len(touched)
        return sheet

    def singles(self, need: Need, wanted: int, lasting: bool) -> list[Chunk]:
        """Up to `wanted` single tasks, each where the policy likes it best; takes them out of the room."""
        taken: list[Chunk] = []
        while len(taken) < wanted:
            sheet = self.sheet(need, lasting)
            left = wanted - len(taken)
            if left == 1:
                best = int(np.argmin(sheet.score)) if len(sheet.score) else 0
                picks = [(best, 1)] if len(sheet.score) and sheet.fit[best] > 0 else []
            else:
                picks = _sweep(sheet, left)
            if not picks:
                break
            for node, count in picks:
                taken += self.take(node, count, need, lasting)
        return taken

    def gang(self, need: Need, tasks: int, lasting: bool) -> list[Chunk]:
        """All tasks of a gang, as near to each other as can be, or none; takes them out of the room."""
        sheet = self.sheet(need, lasting)
        taken: list[Chunk] = []
        for node, count in near(self.room, sheet.fit, sheet.score, tasks):
            taken += self.take(node, count, need, lasting)
        return taken

    def take(self, node: int, count: int, need: Need, lasting: bool) -> list[Chunk]:
        """`count` tasks on one node, devices chosen; the caller knows that they fit."""
        chunks = []
        for _ in range(count):
            chunk = pick(self.room, node, need, lasting)
            self.room.take(chunk, need, lasting=lasting)
            chunks.append(chunk)
        return chunks


def _sweep(sheet: _Sheet, wanted: int) -> list[tuple[int, int]]:
    """Nodes in the order of their score and how many tasks each takes, at most `wanted` in all.

    Ends after the first node that has room left beyond its batch: scored again, it may still be the best.
    """
    able = np.flatnonzero(sheet.fit > 0)
    order = able[np.argsort(sheet.score[able], kind="stable")]
    amount = np.minimum(sheet.batch[order], wanted)
    before = np.cumsum(amount) - amount
    partial = np.flatnonzero(sheet.batch[order] < sheet.fit[order])
    last = min(int(np.searchsorted(before, wanted)), int(partial[0]) + 1 if len(partial) else len(order))
    counts = np.minimum(amount[:last], wanted - before[:last])
    return list(zip(order[:last].tolist(), counts.tolist(), strict=True))


def near(room: Room, fit: I64, score: F64, tasks: int) -> list[tuple[int, int]]:
    """Nodes for a gang: one node if one can hold it, else one rack, else one POD, else the fewest nodes anywhere."""
    fit = np.minimum(fit, tasks)
    if not len(fit) or int(fit.sum()) < tasks:
        return []
    alone = np.flatnonzero(fit >= tasks)
    if len(alone):
        return [(int(alone[np.argmin(score[alone])]), tasks)]
    inside = np.flatnonzero(fit > 0)
    for group in (room.rack, room.pod):
        known = inside[group[inside] >= 0]
        if not len(known):
            continue
        sums = np.bincount(group[known], weights=fit[known].astype(np.float64))
        enough = np.flatnonzero(sums >= tasks)
        if len(enough):
            first = np.full(len(sums), len(fit))
            np.minimum.at(first, group[known], known)  # equal racks: the one met first in canonical order
            best = enough[np.lexsort((first[enough], sums[enough]))[0]]
            inside = known[group[known] == best]
            break
    return _fewest(inside, fit, score, tasks)


def _fewest(rows: I64, fit: I64, score: F64, tasks: int) -> list[tuple[int, int]]:
    """Fill the roomiest nodes first; the rest goes to the best-scored node that holds it."""
    order = rows[np.lexsort((rows, score[rows], -fit[rows]))]
    after = np.cumsum(fit[order])
    full = int(np.searchsorted(after, tasks, side="right"))
    picks = [(int(node), int(fit[node])) for node in order[:full]]
    rest = tasks - (int(after[full - 1]) if full else 0)
    if rest:
        remaining = order[full:]
        able = remaining[fit[remaining] >= rest]
        best = able[np.lexsort((able, score[able]))[0]]
        picks.append((int(best), rest))
    return picks


def pick(room: Room, node: int, need: Need, lasting: bool) -> Chunk:
    """Devices of `node` for one task: whole ones from the tightest link group, a share on the tightest device."""
    if need.model < 0:
        return Chunk(node, (), (), ())
    row = np.array([node])
    if need.is_share:
        copies = room.copies(need, row, lasting)[0]
        memory, compute = room.free_devices(row, lasting)
        able = np.flatnonzero(copies > 0)
        leftover = np.minimum(compute[0][able] - need.share_compute, FULL_BP) * (1 << 24)
        best = int(able[np.argmin(leftover + memory[0][able])])
        return Chunk(node, (best,), (need.share_memory,), (need.share_compute,))
    free = np.flatnonzero(room.whole(need.model, row, lasting)[0])
    chosen = _from_links(free, room.link[node], need.count)
    memory = room.device_total[node]
    return Chunk(node, tuple(chosen), tuple(int(memory[d]) for d in chosen), (FULL_BP,) * need.count)


def _from_links(free: I64, link: object, count: int) -> list[int]:
    """`count` of the free positions: one link group if possible (the smallest that holds them), else the largest."""
    groups: dict[int, list[int]] = {}
    for position in free.tolist():
        groups.setdefault(int(link[position]), []).append(position)  # type: ignore[index]
    enough = [group for group in groups.values() if len(group) >= count]
    if enough:
        return min(enough, key=lambda group: (len(group), group))[:count]
    chosen: list[int] = []
    for group in sorted(groups.values(), key=lambda group: (-len(group), group)):
        chosen += group[: count - len(chosen)]
    return chosen
