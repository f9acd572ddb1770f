"""The proof of the books: everything that is kept as a sum is summed again, every charge is priced again from its use.

It reads; it never repairs. The report names the first row that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pearlstreet.ledger.proof import books, sums, use
from pearlstreet.ledger.proof.walk import Differs, Work
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

STEPS: tuple[Callable[[Work], None], ...] = (
    books.transactions_balance,
    books.accounts_are_their_entries,
    books.funds_are_their_accounts,
    use.charges_follow_from_spans,
    use.transactions_follow_from_charges,
    use.spans_have_an_end,
    sums.spending_is_its_charges,
    sums.invoices_are_their_charges,
    sums.top_ups_are_posted,
)


@dataclass(frozen=True, slots=True)
class ProofReport:
    """What the proof looked at, and the first thing that does not fit (None: everything does)."""

    checked: Mapping[str, int]
    """Rows by table."""
    problem: str | None = None
    row: str | None = None
    """The first row that differs."""

    @property
    def is_right(self) -> bool:
        """Whether the books are right."""
        return self.problem is None


def proof(store: Store, actor: Actor) -> ProofReport:
    """`prove` on one consistent snapshot."""
    actor.require("audit:verify")
    return store.read(prove)


def prove(tx: Tx) -> ProofReport:
    """Recompute every balance from entries, every charge from spans and prices, and whatever else is kept twice."""
    work = Work(tx)
    try:
        for step in STEPS:
            step(work)
    except Differs as found:
        return ProofReport(work.checked, str(found), found.row)
    return ProofReport(work.checked)
