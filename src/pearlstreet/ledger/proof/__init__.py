"""Proof of the books: all stored sums are computed again, and all charges are priced again from their spans.

The proof only reads and repairs nothing. Its report names the first row that differs.
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
    """Result of the proof. `problem` None: the books are right."""

    checked: Mapping[str, int]
    """Number of rows checked, by table."""
    problem: str | None = None
    row: str | None = None
    """Name of the first row that differs."""

    @property
    def is_right(self) -> bool:
        """Whether the books are right."""
        return self.problem is None


def proof(store: Store, actor: Actor) -> ProofReport:
    """Prove the books on one consistent snapshot. Raises Forbidden."""
    actor.require("audit:verify")
    return store.read(prove)


def prove(tx: Tx) -> ProofReport:
    """Recompute all balances, charges, holds, monthly sums and invoice totals, and compare them with the stored ones."""
    work = Work(tx)
    try:
        for step in STEPS:
            step(work)
    except Differs as difference:
        return ProofReport(work.checked, str(difference), difference.row)
    return ProofReport(work.checked)
