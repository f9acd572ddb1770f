"""Invoices with their energy; every interface and loop reads invoices here, so that none lacks the energy."""

from __future__ import annotations

from collections.abc import Sequence

from pearlstreet.energy.books import energy_of
from pearlstreet.ledger.invoices import service
from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor


def draft_invoice(store: Store, actor: Actor, org_id: str, month: str) -> Invoice:
    """See `ledger.invoices.service.draft_invoice`."""
    return service.draft_invoice(store, actor, org_id, month, energy=energy_of)


def issue_invoice(store: Store, actor: Actor, org_id: str, month: str) -> Invoice:
    """See `ledger.invoices.service.issue_invoice`."""
    return service.issue_invoice(store, actor, org_id, month, energy=energy_of)


def issue_final(tx: Tx, actor: Actor, org_id: str) -> Sequence[Invoice]:
    """See `ledger.invoices.service.issue_final`."""
    return service.issue_final(tx, actor, org_id, energy=energy_of)
