"""Quotas with borrowing: what an account may still take, within its guarantee and within its maximum.

A job is within the guarantee when it fits into every guaranteed limit that covers it. Beyond it, it borrows what is
idle, if its limits let it, never above a maximum. Where some account has a guarantee, an account without one borrows.
The split of guaranteed, borrowed and maximum follows the elastic quotas of YARN's capacity scheduler and of Kueue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.scheduling.capacity import PLENTY, Need
from pearlstreet.compute.scheduling.model import I64, Bools, Snapshot
from pearlstreet.compute.scheduling.node_table import GFLOPS_PER_PFLOPS

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
    """Use of every account during a cycle."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        quotas = snapshot.quotas
        self._count = len(quotas.labels)
        self._rows_of: dict[tuple[int, int], list[int]] = {}
        self._guaranteed = quotas.guaranteed.tolist()
        self._ceiling = [self._ceiling_of(q) for q in range(self._count)]
        self._demands = self._attempt_demands()
        self.used: list[int] = self._demands.sum(axis=0).tolist()

    @cached_property
    def _guaranteed_anywhere(self) -> set[tuple[int, int]]:
        """(kind, model) on which some account has a guarantee; cores have model -1."""
        quotas = self._snapshot.quotas
        return {
            (int(quotas.kind[q]), m)
            for q in np.flatnonzero(quotas.guaranteed > 0).tolist()
            for m in (np.flatnonzero(quotas.models[q]).tolist() if quotas.kind[q] != _CPUS else (-1,))
        }

    def _ceiling_of(self, q: int) -> int:
        quotas = self._snapshot.quotas
        guaranteed, maximum = int(quotas.guaranteed[q]), int(quotas.maximum[q])
        if quotas.borrow[q] or guaranteed < 0:
            return maximum
        return guaranteed if maximum < 0 else min(guaranteed, maximum)

    def _attempt_demands(self) -> I64:
        """[R, Q] what each running attempt counts for on each limit."""
        running, quotas, nodes = self._snapshot.running, self._snapshot.quotas, self._snapshot.nodes
        demands: I64 = np.zeros((running.count, self._count), dtype=np.int64)
        if not self._count or not running.count:
            return demands
        width = len(self._snapshot.models)
        model = nodes.device_model[running.device_node, running.device_position]
        cell = running.device_attempt.astype(np.int64) * width + model
        sums = np.bincount(cell, weights=running.device_card_bp, minlength=running.count * width)
        cards = sums.astype(np.int64).reshape(running.count, width)
        for q in range(self._count):
            project, kind = int(quotas.project[q]), int(quotas.kind[q])
            mine = running.project == project if project >= 0 else running.org == quotas.org[q]
            if kind == _CARDS:
                amount = cards @ quotas.models[q].astype(np.int64)
            else:
                amount = running.gflops if kind == _PFLOPS else running.cpu
            demands[:, q] = np.where(mine, amount, 0)
        return demands

    def rows(self, org: int, project: int) -> list[int]:
        """Return the limits that apply to an account."""
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
        """Return whether some account has a guarantee on what this need takes."""
        if need.model < 0:
            return need.cpu > 0 and (_CPUS, -1) in self._guaranteed_anywhere
        return any((kind, need.model) in self._guaranteed_anywhere for kind in (_PFLOPS, _CARDS))

    def guaranteed_fit(self, org: int, project: int, need: Need, tasks: int) -> int:
        """Return how many such jobs fit into guarantee and maximum."""
        allowed, guaranteed = self.capacity(org, project, need, tasks), False
        for q in self.rows(org, project):
            demand = self._demand(q, need, tasks)
            if demand and self._guaranteed[q] >= 0:
                guaranteed = True
                allowed = min(allowed, max(self._guaranteed[q] - self.used[q], 0) // demand)
        return allowed if guaranteed or not self._covered_elsewhere(need) else 0

    def capacity(self, org: int, project: int, need: Need, tasks: int) -> int:
        """Return how many such jobs fit under the ceilings."""
        allowed = PLENTY
        for q in self.rows(org, project):
            demand = self._demand(q, need, tasks)
            if demand and self._ceiling[q] >= 0:
                allowed = min(allowed, max(self._ceiling[q] - self.used[q], 0) // demand)
        return allowed

    def binding(self, org: int, project: int, need: Need, tasks: int) -> Binding | None:
        """Return the first limit into which no such job fits."""
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
        """Return whether a running attempt sits beyond its account's guarantee, given what `used` says."""
        running = self._snapshot.running
        guaranteed = [
            q
            for q in self.rows(int(running.org[attempt]), int(running.project[attempt]))
            if self._guaranteed[q] >= 0
        ]
        if guaranteed:
            counts = self._demands[attempt]
            return any(counts[q] > 0 and used[q] > self._guaranteed[q] for q in guaranteed)
        kinds = {kind for kind, _ in self._guaranteed_anywhere}
        return bool(kinds & {_PFLOPS, _CARDS}) if need_model else _CPUS in kinds

    def borrowers(self, able: Bools) -> Bools:
        """Return which of the attempts of `able` sit beyond their accounts' guarantees."""
        running = self._snapshot.running
        found = np.zeros(running.count, dtype=np.bool_)
        for a in np.flatnonzero(able).tolist():
            found[a] = self.borrows(a, bool(running.gflops[a]), self.used)
        return found

    def released(self, attempt: int, used: list[int]) -> None:
        """Take an attempt's use out of `used`."""
        for q in np.flatnonzero(self._demands[attempt]).tolist():
            used[q] -= int(self._demands[attempt, q])

    @property
    def any_guarantee(self) -> bool:
        """Whether any account has a guarantee at all."""
        return bool(self._guaranteed_anywhere)


def in_use(snapshot: Snapshot) -> dict[tuple[str, str, str], float]:
    """Return present use by limit: (organisation, project or "", resource) → amount in the resource's own unit."""
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


def _resource_text(label: str) -> Text:
    """Return a resource of quotas in words: `cards`, `cards:h100`, `pflops`, `cpus`."""
    kind, _, models = label.partition(":")
    if models:
        return text("{models} cards", models=models)
    return {"cards": text("cards"), "cpus": text("CPU cores"), "pflops": text("PFLOPS")}.get(
        kind, Text(label)
    )


def quota_text(binding: Binding) -> Text:
    """Return the sentence about a limit that stops a job."""
    return plural(
        "The limit of {owner} for {label} is {limit:g}; {count:g} is in use and this needs {needed:g}",
        "The limit of {owner} for {label} is {limit:g}; {count:g} are in use and this needs {needed:g}",
        owner=binding.owner,
        limit=binding.limit,
        label=_resource_text(binding.label),
        count=binding.used,
        needed=binding.needed,
    )
