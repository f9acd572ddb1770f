"""Billing settings of the center (the seller) and of organisations (the buyers)."""

from __future__ import annotations

import re
from dataclasses import asdict

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger.model import Party, Site
from pearlstreet.ledger.months import zone_of
from pearlstreet.ledger.tables import ledger_buyers, ledger_site
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

_TAX_ID = re.compile(r"^[0-9A-Z]{15,20}$")
_PREFIX = re.compile(r"^[A-Z0-9]{1,8}$")


def read_site(tx: Tx) -> Site:
    """Return the center's billing settings; defaults until an operator sets them."""
    document = tx.scalar(sa.select(ledger_site.c.document))
    if document is None:
        return Site()
    return Site(
        **{
            **document,
            "seller": Party(**document["seller"]),
            "approval_above": Money(document["approval_above"]["micro"]),
        }
    )


def set_site(store: Store, actor: Actor, site: Site) -> Site:
    """Set the center's billing settings. A new time zone applies to later price lists. Raises InvalidInput."""
    actor.require("settings:write")
    zone_of(site.time_zone)
    problems = [*_party_problems(site.seller, "seller")]
    if not 0 <= site.tax_rate_bp <= 5000:
        problems.append(Problem("tax_rate_bp", text("A tax rate is between 0 and 50 %")))
    if site.approval_above.micro < 0:
        problems.append(Problem("approval_above", text("The amount must be 0 or more")))
    if not _PREFIX.match(site.invoice_prefix):
        problems.append(Problem("invoice_prefix", text("1 to 8 capital letters or digits are needed")))
    if problems:
        raise InvalidInput(text("The billing settings are invalid"), problems=problems)

    def command(tx: Tx) -> Site:
        document = asdict(site)
        if not tx.execute(sa.update(ledger_site).values(document=document)).rowcount:
            tx.execute(sa.insert(ledger_site).values(id=1, document=document))
        audit.record(tx, actor=actor.label, action="billing.settings", target="center", details=document)
        return site

    return store.write(command)


def read_buyer(tx: Tx, org_id: str) -> Party:
    """Return the billing details of an organisation for invoices; fields are empty until they are set."""
    document = tx.scalar(sa.select(ledger_buyers.c.document).where(ledger_buyers.c.org_id == org_id))
    return Party(**document) if document else Party()


def get_buyer(store: Store, actor: Actor, org_id: str) -> Party:
    """Return the billing details of an organisation. Raises NotFound, Forbidden."""
    actor.require("credit:read", org_id)
    return store.read(lambda tx: read_buyer(tx, org_id))


def set_buyer(store: Store, actor: Actor, org_id: str, party: Party) -> Party:
    """Set the billing details for later invoices of an organisation. Raises InvalidInput."""
    actor.require("orgs:write", org_id)
    problems = _party_problems(party, "buyer")
    if problems:
        raise InvalidInput(text("The billing details are invalid"), problems=problems)

    def command(tx: Tx) -> Party:
        document = asdict(party)
        own = ledger_buyers.c.org_id == org_id
        if not tx.execute(sa.update(ledger_buyers).where(own).values(document=document)).rowcount:
            tx.execute(sa.insert(ledger_buyers).values(org_id=org_id, document=document))
        audit.record(
            tx, actor=actor.label, action="billing.buyer", target=org_id, org_id=org_id, details=document
        )
        return party

    return store.write(command)


def _party_problems(party: Party, where: str) -> list[Problem]:
    problems = [
        Problem(f"{where}.{name}", text("At most 200 characters are allowed"))
        for name, value in asdict(party).items()
        if len(value) > 200
    ]
    if party.tax_id and not _TAX_ID.match(party.tax_id):
        problems.append(
            Problem(f"{where}.tax_id", text("A taxpayer number has 15 to 20 digits and capital letters"))
        )
    return problems
