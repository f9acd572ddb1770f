"""Quotas with borrowing: what an account may still take, within its guarantee and within its maximum.

A job is within the guarantee when every guaranteed limit that covers it has room for it. Beyond it, it borrows what is
idle, if its limits let it, never above a maximum. Where some account has a guarantee, an account without one borrows.
The split of guaranteed, borrowed and maximum follows the elastic quotas of YARN's capacity scheduler and of Kueue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pearlstreet.base.text import Text, text
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.builder import GFLOPS_PER_PFLOPS
from pearlstreet.compute.scheduling.model import I64, Bools, Snapshot
from pearlstreet.compute.scheduling.room import PLENTY, Need

_PFLOPS, _CARDS, _CPUS = 0, 1, 2
_UNIT = (GFLOPS_PER_PFLOPS, FULL_BP, 1000)


@dataclass(frozen=True, slots=True)
class Binding:
    """The limit that stops a job: amounts in the resource's own unit."""

    label: str
    owner: str
    limit: float
    used: float
    needed: float


class QuotaState:
    """What every account uses, as the cycle goes on."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        quotas = snapshot.quotas
        self._count = len(quotas.labels)
        self._rows_of: dict[tuple[int, int], list[int]] = {}
        self._guaranteed_anywhere = {
            (int(quotas.kind[q]), m)
            for q in range(self._count)
            if quotas.guaranteed[q] > 0
            for m in (np.flatnonzero(quotas.models[q]) if quotas.kind[q] != _CPUS else (-1,))
        }
        self.used = [0] * self._count
        self._guaranteed = quotas.guaranteed.tolist()
        self._ceiling = [self._ceiling_of(q) for q in range(self._count)]
        self._attempts = self._attempt_demands() if self._count else []
        for demands in self._attempts:
            for q, amount in demands:
                self.used[q] += amount

    def _ceiling_of(self, q: int) -> int:
        quotas = self._snapshot.quotas
        guaranteed, maximum = int(quotas.guaranteed[q]), int(quotas.maximum[q])
        if quotas.borrow[q] or guaranteed < 0:
            return maximum
        return guaranteed if maximum < 0 else min(guaranteed, maximum)

    def _attempt_demands(self) -> list[list[tuple[int, int]]]:
        """What each running attempt counts for on each limit."""
        running, quotas, nodes = self._snapshot.running, self._snapshot.quotas, self._snapshot.nodes
        cards: I64 = np.zeros((running.count, len(self._snapshot.models)), dtype=np.int64)
        model = nodes.device_model[running.device_node, running.device_position]
        np.add.at(cards, (running.device_attempt, model), running.device_card_bp)
        demands: list[list[tuple[int, int]]] = []
        for a in range(running.count):
            row = []
            for q in self.rows(int(running.org[a]), int(running.project[a])):
                kind = int(quotas.kind[q])
                amount = int(
                    running.gflops[a]
                    if kind == _PFLOPS
                    else cards[a][quotas.models[q]].sum()
                    if kind == _CARDS
                    else running.cpu[a]
                )
                if amount:
                    row.append((q, amount))
            demands.append(row)
        return demands

    def rows(self, org: int, project: int) -> list[int]:
        """The limits that an account stands under."""
        if self._count == 0:
            return []
        found = self._rows_of.get((org, project))
        if found is None:
            quotas = self._snapshot.quotas
            mine = (quotas.project == project) | ((quotas.project < 0) & (quotas.org == org))
            found = self._rows_of[(org, project)] = np.flatnonzero(mine).tolist()
        return found

    def _demand(self, q: int, need: Need, tasks: int) -> int:
        quotas = self._snapshot.quotas
        kind = int(quotas.kind[q])
        if kind == _CPUS:
            return need.cpu * tasks
        if need.model < 0 or not quotas.models[q, need.model]:
            return 0
        return (need.gflops if kind == _PFLOPS else need.card_bp) * tasks

    def _covered_elsewhere(self, need: Need) -> bool:
        """Whether some account has a guarantee on what this need takes."""
        if need.model < 0:
            return need.cpu > 0 and (_CPUS, -1) in self._guaranteed_anywhere
        return any((kind, need.model) in self._guaranteed_anywhere for kind in (_PFLOPS, _CARDS))

    def room_guaranteed(self, org: int, project: int, need: Need, tasks: int) -> int:
        """How many such jobs fit into guarantee and ceiling."""
        allowed, guaranteed = self.room(org, project, need, tasks), False
        for q in self.rows(org, project):
            demand = self._demand(q, need, tasks)
            if demand and self._guaranteed[q] >= 0:
                guaranteed = True
                allowed = min(allowed, max(self._guaranteed[q] - self.used[q], 0) // demand)
        return allowed if guaranteed or not self._covered_elsewhere(need) else 0

    def room(self, org: int, project: int, need: Need, tasks: int) -> int:
        """How many such jobs fit under the ceilings."""
        allowed = PLENTY
        for q in self.rows(org, project):
            demand = self._demand(q, need, tasks)
            if demand and self._ceiling[q] >= 0:
                allowed = min(allowed, max(self._ceiling[q] - self.used[q], 0) // demand)
        return allowed

    def binding(self, org: int, project: int, need: Need, tasks: int) -> Binding | None:
        """The first limit that has no room for one such job."""
        quotas, accounts = self._snapshot.quotas, self._snapshot.accounts
        for q in self.rows(org, project):
            demand, unit = self._demand(q, need, tasks), _UNIT[int(quotas.kind[q])]
            if demand and 0 <= self._ceiling[q] < self.used[q] + demand:
                mine = int(quotas.project[q])
                owner = accounts.orgs[org] if mine < 0 else f"{accounts.orgs[org]}/{accounts.projects[mine]}"
                limit, used = self._ceiling[q] / unit, self.used[q] / unit
                return Binding(quotas.labels[q], owner, limit, used, demand / unit)
        return None

    def take(self, org: int, project: int, need: Need, tasks: int, jobs: int = 1) -> None:
        """Count jobs that were placed."""
        for q in self.rows(org, project):
            self.used[q] += self._demand(q, need, tasks) * jobs

    def borrows(self, attempt: int, need_model: bool, used: list[int]) -> bool:
        """Whether a running attempt sits beyond its account's guarantee, given what `used` says."""
        running = self._snapshot.running
        guaranteed = [
            q
            for q in self.rows(int(running.org[attempt]), int(running.project[attempt]))
            if self._guaranteed[q] >= 0
        ]
        if guaranteed:
            counted = {q for q, _ in self._attempts[attempt]}
            return any(q in counted and used[q] > self._guaranteed[q] for q in guaranteed)
        kinds = {kind for kind, _ in self._guaranteed_anywhere}
        return bool(kinds & {_PFLOPS, _CARDS}) if need_model else _CPUS in kinds

    def borrowers(self, able: Bools) -> Bools:
        """Which of the attempts of `able` sit beyond their accounts' guarantees."""
        running = self._snapshot.running
        found = np.zeros(running.count, dtype=np.bool_)
        for a in np.flatnonzero(able).tolist():
            found[a] = self.borrows(a, bool(running.gflops[a]), self.used)
        return found

    def released(self, attempt: int, used: list[int]) -> None:
        """Take an attempt's use out of `used`."""
        for q, amount in self._attempts[attempt] if self._count else ():
            used[q] -= amount

    @property
    def any_guarantee(self) -> bool:
        """Whether any account has a guarantee at all."""
        return bool(self._guaranteed_anywhere)


def in_use(snapshot: Snapshot) -> dict[tuple[str, str, str], float]:
    """What counts against each limit now: (organisation, project or "", resource) → amount in the resource's own unit."""
    quotas, accounts = snapshot.quotas, snapshot.accounts
    used = QuotaState(snapshot).used
    return {
        (
            accounts.orgs[int(quotas.org[q])],
            accounts.projects[int(quotas.project[q])] if quotas.project[q] >= 0 else "",
            label,
        ): used[q] / _UNIT[int(quotas.kind[q])]
        for q, label in enumerate(quotas.labels)
    }


def quota_text(binding: Binding) -> Text:
    """The sentence about a limit that stops a job."""
    return text(
        "{owner} may use {limit:g} {label} at once, {used:g} are in use and this needs {needed:g}",
        owner=binding.owner,
        limit=binding.limit,
        label=binding.label,
        used=binding.used,
        needed=binding.needed,
    )
