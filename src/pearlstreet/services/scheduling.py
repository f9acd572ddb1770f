"""The services of scheduling: the policy with its queues, windows, recorded decisions, and quotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.queueing import quotas
from pearlstreet.compute.queueing.decisions import service as decisions
from pearlstreet.compute.queueing.decisions.log import DecisionSettings
from pearlstreet.compute.queueing.decisions.record import DecisionHeader, ReplayedDecision, StoredDecision
from pearlstreet.compute.queueing.policy import service as policies
from pearlstreet.compute.queueing.policy.model import QUEUE_SETTINGS, SETTINGS, Policy, choices, is_list
from pearlstreet.compute.queueing.policy.service import (
    NOTE_MAX,
    PolicyVersion,
    QueueView,
    QueueWish,
    sees_everything,
)
from pearlstreet.compute.queueing.quota_use import QuotaUse, quota_uses
from pearlstreet.compute.queueing.quotas import FairShareStanding, QuotaRow, QuotaWish, ShareRow
from pearlstreet.compute.queueing.windows import service as windows
from pearlstreet.compute.queueing.windows.model import PoolWindow, WindowKind, WindowWish
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor

__all__ = [
    "NOTE_MAX", "QUEUE_SETTINGS", "SETTINGS", "DecisionHeader", "DecisionsService", "FairShareStanding", "Policy",
    "PolicyService", "PolicyVersion", "PoolWindow", "QueueView", "QueueWish", "QuotaRow", "QuotaUse", "QuotaWish",
    "QuotasService", "ReplayedDecision", "ShareRow", "StoredDecision", "WindowKind", "WindowWish", "WindowsService",
    "choices", "is_list", "sees_everything",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PolicyService(StoreService):
    """Commands and queries about the scheduling policy and its queues."""

    runtime: Runtime

    def show_policy(self, actor: Actor) -> Policy:
        """Return the policy in force. Raises Forbidden."""
        return policies.show_policy(self.store, actor, self.runtime)

    def rules(self) -> Policy:
        """Return the policy in force for forms that offer its choices to everybody."""
        return self.store.read(self.runtime.policy.current)

    def list_versions(
        self, actor: Actor, *, before: int | None = None, limit: int = 100
    ) -> Sequence[PolicyVersion]:
        """Return the versions of the policy with their changes, newest first. Raises Forbidden."""
        return policies.history(self.store, actor, self.runtime, before=before, limit=limit)

    def set_policy(
        self,
        actor: Actor,
        settings: Mapping[str, object],
        *,
        default_queue: str | None = None,
        note: str = "",
    ) -> Policy:
        """Change settings of the policy, which creates a version of it. Raises InvalidInput, Forbidden."""
        return policies.set_policy(
            self.store, actor, self.runtime, settings, default_queue=default_queue, note=note
        )

    def roll_back(self, actor: Actor, number: int, *, note: str = "") -> Policy:
        """Return to an earlier version, which creates a version. Raises NotFound, InvalidInput, Forbidden."""
        return policies.roll_back(self.store, actor, self.runtime, number, note=note)

    def list_queues(self, actor: Actor) -> Sequence[QueueView]:
        """Return the queues that the actor may use, the default one first. Raises Forbidden."""
        return policies.list_queues(self.store, actor, self.runtime)

    def set_queue(self, actor: Actor, name: str, wish: QueueWish, *, note: str = "") -> QueueView:
        """Create or change a queue, which creates a version of the policy. Raises InvalidInput, Forbidden."""
        return policies.set_queue(self.store, actor, self.runtime, name, wish, note=note)

    def remove_queue(self, actor: Actor, name: str, *, note: str = "") -> QueueView:
        """Delete a queue; its waiting jobs move to the default queue. Raises NotFound, Conflict, Forbidden."""
        return policies.remove_queue(self.store, actor, self.runtime, name, note=note)


@dataclass(frozen=True, slots=True)
class DecisionsService(StoreService):
    """Queries about the recorded decisions of the planner."""

    runtime: Runtime

    @property
    def kept(self) -> DecisionSettings:
        """How many decisions are recorded, and for how long they are kept."""
        return self.runtime.decisions.settings

    @property
    def dropped(self) -> int:
        """Number of decisions that could not be recorded since the server started."""
        return self.runtime.decisions.dropped

    def list_decisions(
        self, actor: Actor, *, before: str | None = None, limit: int = 100
    ) -> Sequence[DecisionHeader]:
        """Return the headers of recorded decisions, newest first. Raises Forbidden."""
        return decisions.list_decisions(actor, self.runtime, before=before, limit=limit)

    def read_decision(self, actor: Actor, decision_id: str) -> StoredDecision:
        """Return the snapshot, configuration and plan of a decision. Raises NotFound, Conflict, Forbidden."""
        return decisions.read_decision(self.store, actor, self.runtime, decision_id)

    def replay_decision(self, actor: Actor, decision_id: str) -> ReplayedDecision:
        """Plan a decision again and compare. Raises NotFound, Conflict, InvalidInput, Unavailable, Forbidden."""
        return decisions.replay_decision(self.store, actor, self.runtime, decision_id)


@dataclass(frozen=True, slots=True)
class WindowsService(StoreService):
    """Commands and queries about maintenance windows and reservations."""

    def list_windows(
        self, actor: Actor, *, over: bool = False, before: str | None = None, limit: int = 100
    ) -> Sequence[PoolWindow]:
        """Return the windows that have not ended, or (`over`) all, newest first. Raises Forbidden."""
        return windows.list_windows(self.store, actor, over=over, before=before, limit=limit)

    def make_window(self, actor: Actor, wish: WindowWish) -> PoolWindow:
        """Create a maintenance window or a reservation. Raises InvalidInput, NotFound (organisation), Forbidden."""
        return windows.make_window(self.store, actor, wish)

    def end_window(self, actor: Actor, window_id: str) -> PoolWindow:
        """End a window early, or cancel it before it begins. Raises NotFound, Conflict if it has ended, Forbidden."""
        return windows.end_window(self.store, actor, window_id)


@dataclass(frozen=True, slots=True)
class QuotasService(StoreService):
    """Commands and queries about quotas and fair share."""

    runtime: Runtime

    def list_quotas(self, actor: Actor, org: str | None = None) -> Sequence[QuotaRow]:
        """Return the quotas of an organisation, or all that the actor may see."""
        return quotas.list_quotas(self.store, actor, org)

    def list_uses(self, actor: Actor, org: str | None = None) -> Sequence[QuotaUse]:
        """Return the quotas with their usage in the last planning cycle."""
        return quota_uses(self.store, actor, self.runtime, org)

    def set_quota(self, actor: Actor, org: str, wish: QuotaWish, *, project: str | None = None) -> QuotaRow:
        """Set or replace an organisation's or project's quota on a resource. Raises InvalidInput, NotFound."""
        return quotas.set_quota(self.store, actor, org, wish, project=project)

    def delete_quota(self, actor: Actor, quota_id: str) -> QuotaRow:
        """Delete a quota and return it. Raises NotFound."""
        return quotas.delete_quota(self.store, actor, quota_id)

    def list_shares(self, actor: Actor, org: str | None = None) -> Sequence[ShareRow]:
        """Return the stored weights of an organisation, or all that the actor may see."""
        return quotas.list_shares(self.store, actor, org)

    def set_share(self, actor: Actor, org: str, weight: float, *, project: str | None = None) -> ShareRow:
        """Set the weight of an organisation among organisations, or of a project in its organisation."""
        return quotas.set_share(self.store, actor, org, weight, project=project)

    def delete_share(self, actor: Actor, org: str, *, project: str | None = None) -> ShareRow:
        """Reset a weight to 1; without a stored weight nothing changes."""
        return quotas.delete_share(self.store, actor, org, project=project)

    def fair_share(self, actor: Actor) -> tuple[float, Sequence[FairShareStanding]]:
        """Return the half-life in seconds and the order of projects with reasons; tenants see only their own rows."""
        return quotas.fair_share(self.store, actor, self.runtime)
