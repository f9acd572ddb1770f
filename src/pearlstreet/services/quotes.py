"""The service of quotes: ask for offers, accept one, compare it with the run, and rules of thumb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.base.money import Money
from pearlstreet.compute.execution.metering import hold_amount
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.quotes import comparing, history, scenarios, service
from pearlstreet.quotes.model import Question, Quote, State
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class QuotesService(StoreService):
    """Commands and queries about quotes."""

    runtime: Runtime

    def ask_quote(self, actor: Actor, org: str, question: Question) -> Quote:
        """Make offers for a workload and store them for a day. Raises InvalidInput, NotFound, Forbidden, Unavailable."""
        return service.ask_quote(self.store, actor, self.runtime, org, question)

    def check_question(self, actor: Actor, org: str, question: Question) -> service.Checked:
        """Check a question without answering or storing it. Raises the errors of `ask_quote`."""
        return service.check_question(self.store, actor, self.runtime, org, question)

    def list_quotes(
        self,
        actor: Actor,
        org: str | None = None,
        *,
        states: Sequence[State] = (),
        before: str | None = None,
        limit: int = 100,
    ) -> Sequence[Quote]:
        """Return quotes of an organisation, or all that the actor may see, newest first, before the id `before`."""
        return service.list_quotes(self.store, actor, org, states=states, before=before, limit=limit)

    def get_quote(self, actor: Actor, quote_id: str) -> Quote:
        """Return one quote. Raises NotFound."""
        return service.get_quote(self.store, actor, quote_id)

    def compare_quote(self, actor: Actor, quote_id: str) -> comparing.Comparison:
        """Compare an accepted quote with the run of its job. Raises NotFound, Conflict."""
        return comparing.compare_quote(self.store, actor, quote_id)

    def accept_quote(self, actor: Actor, quote_id: str, offer: str) -> service.Accepted:
        """Submit the job of an offer (its number or a name such as `cheapest`) at the quote's prices.

        Raises NotFound, Conflict (expired, accepted before, hardware gone), PaymentRequired, Forbidden, InvalidInput.
        """
        return service.accept_quote(self.store, actor, self.runtime, quote_id, offer)

    def withdraw_quote(self, actor: Actor, quote_id: str) -> Quote:
        """Withdraw an open quote, so that it cannot be accepted. Raises NotFound, Conflict, Forbidden."""
        return service.withdraw_quote(self.store, actor, quote_id)

    def past_names(self, actor: Actor, org_id: str, *, limit: int) -> Sequence[str]:
        """Return distinct names of an organisation's newest successful jobs, latest first. Raises Forbidden."""
        return history.past_names(self.store, actor, org_id, limit=limit)

    def run_scenario(
        self, actor: Actor, name: str, changes: scenarios.Changes | None = None
    ) -> scenarios.Scenario:
        """Compute a rule of thumb with the estimates of quotes. Raises NotFound, InvalidInput, Forbidden."""
        return scenarios.run_scenario(self.store, actor, self.runtime, name, changes)

    def held_at_start(self, hourly: Money, time_limit_s: float) -> Money:
        """Return the amount that is held when a job of this price and time limit starts."""
        return hold_amount(hourly, time_limit_s, self.runtime.settings.hold_window_s)
