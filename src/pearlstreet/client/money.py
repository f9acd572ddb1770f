"""Money: balances, credit, statements, invoices, budgets, prices, the books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Credit(Noun):
    """Balances and top-ups."""

    def balance(self, org: str) -> results.Balance:
        """Return the balance, amounts held for running work, the credit limit and what is available."""
        found: results.Balance = self._get(at("orgs", org, "balance"))
        return found

    def set_limit(self, org: str, credit_limit: str) -> results.Balance:
        """Set the credit limit: how far the balance may fall below zero, in yuan; "0" is prepaid."""
        found: results.Balance = self._send(
            "PUT", at("orgs", org, "credit-limit"), {"credit_limit": credit_limit}
        )
        return found

    def alert(self, org: str) -> results.Alert:
        """Return the available balance below which the organisation gets a notice."""
        found: results.Alert = self._get(at("orgs", org, "balance-alert"))
        return found

    def set_alert(self, org: str, below: str) -> results.Alert:
        """Set the available balance (yuan) below which the organisation gets a notice."""
        found: results.Alert = self._send("PUT", at("orgs", org, "balance-alert"), {"below": below})
        return found

    def statement(
        self, org: str, *, since: str | None = None, until: str | None = None, limit: int = 100
    ) -> Iterator[results.StatementLine]:
        """Yield every transaction with the balance after it, newest first. `limit` is the size of a page."""
        return self._pages(at("orgs", org, "statement"), **{"from": since, "to": until}, limit=limit)

    def add(self, org: str, amount: str, *, memo: str = "", promotion: bool = False) -> results.TopUp:
        """Top up an organisation (yuan); above the center's limit it waits for approval by another operator."""
        body = {"amount": amount, "memo": memo, "promotion": promotion}
        found: results.TopUp = self._send("POST", at("orgs", org, "credit"), body)
        return found

    def correct(self, org: str, amount: str, *, memo: str, reference: str) -> results.Posted:
        """Correct a mistake by a new transaction; a negative amount debits."""
        body = {"amount": amount, "memo": memo, "reference": reference}
        found: results.Posted = self._send("POST", at("orgs", org, "corrections"), body)
        return found

    def list(self, org: str) -> Iterator[results.TopUp]:
        """Yield the organisation's top-ups, newest first."""
        return self._pages(at("orgs", org, "credit"))

    def list_all(self, *, state: str | None = None) -> Iterator[results.TopUp]:
        """Yield top-ups of the whole center, newest first; `state` "pending": those that wait for approval."""
        return self._pages("/credit", state=state)

    def approve(self, top_up: str) -> results.TopUp:
        """Approve another person's top-up."""
        found: results.TopUp = self._send("POST", at("credit", top_up, "approve"))
        return found

    def reject(self, top_up: str) -> results.TopUp:
        """Reject a pending top-up."""
        found: results.TopUp = self._send("POST", at("credit", top_up, "reject"))
        return found


class Invoices(Noun):
    """Invoices, and how buyer and seller are named on them."""

    def list(self, org: str) -> Iterator[results.Invoice]:
        """Yield the issued invoices, latest month first."""
        return self._pages(at("orgs", org, "invoices"))

    def get(self, org: str, month: str, *, draft: bool = True) -> results.Invoice:
        """Return the invoice of a month (2026-11); with `draft` also one that is not issued yet."""
        path = at("orgs", org, "invoices", month)
        found: results.Invoice = self._get(path, format="json", draft=str(draft).lower())
        return found

    def file(self, org: str, month: str, *, form: str = "pdf", draft: bool = True) -> bytes:
        """Return an invoice as a file: "pdf" or "text"."""
        path = at("orgs", org, "invoices", month)
        return self._raw("GET", path, format=form, draft=str(draft).lower())

    def issue(self, org: str, month: str) -> results.Invoice:
        """Issue the invoice of a month that is over; repeating returns the same invoice."""
        found: results.Invoice = self._send("POST", at("orgs", org, "invoices", month))
        return found

    def buyer(self, org: str) -> results.Party:
        """Return the organisation's billing details for invoices."""
        found: results.Party = self._get(at("orgs", org, "billing"))
        return found

    def set_buyer(self, org: str, buyer: Mapping[str, object]) -> results.Party:
        """Replace the organisation's billing details on its next invoices."""
        found: results.Party = self._send("PUT", at("orgs", org, "billing"), dict(buyer))
        return found

    def seller(self) -> results.Billing:
        """Return the center's seller details, time zone, tax rate and limit for second approval."""
        found: results.Billing = self._get("/billing")
        return found

    def set_seller(self, seller: Mapping[str, object]) -> results.Billing:
        """Replace the seller details, time zone, tax rate and limit for second approval."""
        found: results.Billing = self._send("PUT", "/billing", dict(seller))
        return found


class Budgets(Noun):
    """Monthly budgets that warn."""

    def list(self, org: str) -> Rows[results.Budget]:
        """Return the budgets of an organisation and its projects."""
        found: Rows[results.Budget] = self._get(at("orgs", org, "budgets"))["items"]
        return found

    def set(
        self,
        org: str,
        monthly: str,
        *,
        project: str | None = None,
        thresholds: Sequence[int] | None = None,
    ) -> results.Budget:
        """Set a monthly budget (yuan) of the organisation or one project; `thresholds` in percent."""
        body = given(monthly=monthly, project=project, thresholds=thresholds)
        found: results.Budget = self._send("PUT", at("orgs", org, "budgets"), body)
        return found


class Prices(Noun):
    """Price lists."""

    def list(self) -> Iterator[results.Prices]:
        """Yield every price list, newest first."""
        return self._pages("/prices")

    def current(self) -> results.Prices:
        """Return the price list by which a job submitted now is billed."""
        found: results.Prices = self._get("/prices/current")
        return found

    def current_toml(self) -> str:
        """Return the current price list as TOML, to edit and publish."""
        return self._raw("GET", "/prices/current", format="toml").decode()

    def publish(
        self, rules: Sequence[Mapping[str, object]], *, note: str = "", valid_from: str | None = None
    ) -> results.Prices:
        """Publish a price list; jobs submitted before keep their prices."""
        body = given(rules=[dict(rule) for rule in rules], note=note, valid_from=valid_from)
        found: results.Prices = self._send("POST", "/prices", body)
        return found

    def publish_toml(
        self, content: bytes, *, note: str = "", valid_from: str | None = None
    ) -> results.Prices:
        """Publish a price list written in TOML."""
        answer = self._transport.request(
            "POST",
            "/api/v1/prices",
            content=content,
            params={"note": note, "valid_from": valid_from},
            headers={"content-type": "application/toml"},
        )
        found: results.Prices = answer.json()
        return found


class Ledger(Noun):
    """The books."""

    def proof(self) -> results.Proof:
        """Recompute every balance from postings and every charge from use and prices."""
        found: results.Proof = self._get("/ledger/proof")
        return found

    def beancount(self) -> bytes:
        """Return the books as a beancount journal."""
        return self._raw("GET", "/ledger/beancount")
