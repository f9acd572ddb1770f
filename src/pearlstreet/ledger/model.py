"""The values of the package `ledger`: spans of use, transactions of the books, balances and billing settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pearlstreet.base.money import ZERO, Money
from pearlstreet.base.text import Text

CURRENCY = "CNY"
CARD_BP = 10_000
"""One whole card in units of `Unit.CARD_BP` (basis points of a card)."""
US_PER_HOUR = 3_600_000_000


class Unit(StrEnum):
    """Unit of a span's `amount`. Timed units are held for the span's length; tokens are counted."""

    CARD_BP = "card_bp"
    """Accelerators, in 1/10,000 of a card."""
    CPU_MILLI = "cpu_milli"
    """CPU cores, in 1/1,000 of a core."""
    MEMORY_MIB = "memory_mib"
    STORAGE_BYTES = "storage_bytes"
    TOKENS = "tokens"

    @property
    def is_timed(self) -> bool:
        """Whether the quantity is amount × time."""
        return self is not Unit.TOKENS


def model_of(resource: str) -> str:
    """Return the model of a device in the name of a resource: `accelerator/t4/mps` → t4."""
    return resource.partition("/")[2].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Demand:
    """An amount of a resource to be held: `accelerator/<catalogue id>` (with `/mps` or `/time_slice` where priced apart), `cpu`, `memory` or `storage`."""

    resource: str
    unit: Unit
    amount: int
    pflops: float | None = None
    """Normalised PFLOPS of one whole card; None: unknown."""


@dataclass(frozen=True, slots=True)
class Span:
    """Use of one resource from `start_us` to `end_us`. Key: (source, external_id, resource, sequence), sequence from 0.

    The spans of one (source, external_id, resource), a *stream*, share organisation, project, reference, unit and price
    version, and each span starts at the end of its predecessor.
    """

    source: str
    """Name of the package that measured the use, such as `compute`."""
    external_id: str
    """Id of the user of the resource in the source, such as an attempt."""
    resource: str
    sequence: int
    org_id: str
    project_id: str
    reference: str
    """Id under which users know the use, such as the job."""
    start_us: int
    end_us: int
    unit: Unit
    amount: int
    price_version_id: str
    pflops: float | None = None
    """Normalised PFLOPS of one whole card at the time of use; None: unknown."""
    pflops_basis: str = ""
    """Basis of `pflops`: `measured`, `assumed` or `unknown`."""
    billable: bool = True
    why_not: Text | None = None
    """Reason why the span is not billed. It has no parameters, because only its template is stored."""


class AccountKind(StrEnum):
    """Kind of an account in double-entry bookkeeping. Balances are debit-positive for all kinds."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


class TxKind(StrEnum):
    """Cause of a transaction."""

    CHARGE = "charge"
    TOP_UP = "top_up"
    GRANT = "grant"
    REFUND = "refund"
    CORRECTION = "correction"
    TAX = "tax"


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a transaction: positive debits the account, negative credits it."""

    account: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction to be written. `funds` is added to the balance of `org_id`, on its wallet and receivable."""

    kind: TxKind
    reference: str
    """Unique reference; a second draft with the same reference is not written again."""
    memo: Text
    org_id: str | None = None
    funds: Money = ZERO
    entries: tuple[Entry, ...] = ()
    """The other entries; with `-funds` they sum to zero."""
    actor: str = "center"


@dataclass(frozen=True, slots=True)
class Posted:
    """Id and sequence number of a transaction in the books."""

    id: str
    seq: int
    fresh: bool
    """Whether the transaction is new; False if its reference was written before."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Balance, held money and credit limit of an organisation."""

    org_id: str
    balance: Money
    """Payments less charges; negative: money owed."""
    held: Money
    """Money set aside for running attempts."""
    credit_limit: Money
    """Amount by which the balance may fall below zero; above 0 for postpaid organisations."""

    @property
    def available(self) -> Money:
        """Money available for new holds."""
        return self.balance + self.credit_limit - self.held


@dataclass(frozen=True, slots=True)
class Party:
    """Buyer or seller, as named on an invoice."""

    name: str = ""
    tax_id: str = ""
    """Taxpayer number (纳税人识别号), usually the unified social credit code of 18 characters."""
    address: str = ""
    phone: str = ""
    bank: str = ""
    bank_account: str = ""


_APPROVAL_ABOVE = Money(10_000_000_000)


@dataclass(frozen=True, slots=True)
class Site:
    """Billing settings of the center: the seller on invoices, tax, time zone and approval limit."""

    seller: Party = field(default_factory=Party)
    time_zone: str = "Asia/Shanghai"
    """Time zone of billing months; each price version keeps the zone that was set when it was published."""
    tax_rate_bp: int = 600
    """VAT rate included in prices, in 1/10,000: 6 % for information technology services (Cai Shui [2016] No. 36)."""
    approval_above: Money = _APPROVAL_ABOVE
    """Largest top-up without a second person's approval; default 10,000 yuan."""
    invoice_prefix: str = "PS"
