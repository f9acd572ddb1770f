"""Stops running attempts for blocked jobs, as the preemption policy of the lane allows."""

from __future__ import annotations

from functools import cached_property

from pearlstreet.base.text import Text
from pearlstreet.compute.scheduling import reasons
from pearlstreet.compute.scheduling.capacity import Need
from pearlstreet.compute.scheduling.cycle_state import CycleState
from pearlstreet.compute.scheduling.job_classes import JobClass, Run
from pearlstreet.compute.scheduling.model import I64
from pearlstreet.compute.scheduling.plan import Preemption as Stop
from pearlstreet.compute.scheduling.plan import StartEstimate
from pearlstreet.compute.scheduling.preemption.protocol import Claim
from pearlstreet.compute.scheduling.preemption.search import find_victims
from pearlstreet.compute.scheduling.timeline import fits

_US = 1_000_000


class Preemptor:
    """Chooses victims for blocked jobs of one cycle; `stops` collects them."""

    def __init__(self, state: CycleState) -> None:
        self.state = state
        self.stops: list[Stop] = []

    def stop_for(self, run: Run, needs: tuple[Need, ...], rows: list[int]) -> list[int]:
        """Stop cheaper attempts for the first of `rows`; returns the rows for which that does not help."""
        if self.state.preemption is None or not self.state.snapshot.running.count:
            return rows
        config, tasks, now = self.state.lane.config, run.job_class.tasks, self.state.snapshot.now_us
        soon = now + round(config.grace_s * _US)
        left = list(rows)
        while (
            left
            and self.state.preempt_tries < config.preempt_depth
            and len(self.stops) < config.preempt_limit
        ):
            self.state.preempt_tries += 1
            count = self._victims(run.job_class, needs, left[0], soon)
            if count == 0:
                break
            if self.state.unheld is not None:
                self.state.make_reservation()
            ready = self.state.timeline.capacity_at(soon)
            need = next((need for need in needs if fits(ready, need, tasks)), None)
            if need is None:
                break
            self.state.hold_place(soon, need, tasks, surely=True)
            self.state.set_reason(
                left[:1], self.state.add_reason(reasons.preempting(count, StartEstimate(now, soon, soon)))
            )
            self.state.head = left[0] if self.state.head is None else self.state.head
            left = left[1:]
        return left

    def _victims(self, job_class: JobClass, needs: tuple[Need, ...], row: int, soon: int) -> int:
        """Return how many attempts end for this job, chosen now or before; 0 if stopping more does not help."""
        if self.state.preemption is None:
            return 0
        tasks, running = job_class.tasks, self.state.snapshot.running
        if self.state.timeline.any_by(soon) and self._ready(needs, tasks, soon):
            # jobs that end on their own free enough by `soon`: stopping others would not start this one earlier
            return int((running.ending | self.state.leaving).sum())
        ranks = self.places[1] if self.state.preemption.ranks else None
        rank = int(self.places[0][row]) if self.state.preemption.ranks else 0
        claim = Claim(
            job_class.org, job_class.project, job_class.priority, tasks, self.state.quotas.any_guarantee, rank
        )
        may = self.state.preemption.candidates(
            self.state.snapshot, self.state.lane.config, self.state.quotas, claim, ranks
        )
        if not (may.able & ~self.state.leaving).any():
            return 0
        if (
            self.state.unheld is not None
        ):  # reserve for the earlier blocked job first, so that it does not count on what is stopped for this one
            self.state.make_reservation()
        found = find_victims(
            self.state.snapshot, self.state.preemption, self.state.quotas, self.state.timeline, needs, claim, may, self.state.leaving, ranks,
            soon,
        )  # fmt: skip
        if not found:
            return 0
        self.state.leaving[list(found)] = True
        self.state.timeline.end_soon(found, soon)
        job, grace_s = self.state.snapshot.waiting.ids[row], self.state.lane.config.grace_s
        for a in found:
            self.stops.append(
                Stop(running.ids[a], running.job_ids[a], job, grace_s, self._why_stopped(claim, a))
            )
        return len(found)

    def _ready(self, needs: tuple[Need, ...], tasks: int, soon: int) -> bool:
        """Return whether the gang fits at `soon`, when everything that ends until then has ended."""
        ready = self.state.timeline.capacity_at(soon)
        return any(fits(ready, need, tasks) for need in needs)

    def _why_stopped(self, claim: Claim, attempt: int) -> Text:
        """Return the sentence that the stopped job's owner reads."""
        assert self.state.preemption is not None
        return self.state.preemption.why(self.state.snapshot, claim, attempt)

    @cached_property
    def places(self) -> tuple[I64, I64]:
        """Ranks of all waiting and of all running jobs in one common order."""
        return self.state.ranking.places()
