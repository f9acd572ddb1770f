"""The values of this room: what is used, what is written in the books. No behaviour beyond checking themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pearlstreet.base.money import ZERO, Money
from pearlstreet.base.text import Text

CURRENCY = "CNY"
CARD_BP = 10_000
"""One whole card in `Unit.CARD_BP` (basis points of a card)."""
US_PER_HOUR = 3_600_000_000


class Unit(StrEnum):
    """What a span's `amount` counts. Time units are held for the span's length; the others are simply counted."""

    CARD_BP = "card_bp"
    """Accelerators in 1/10,000 of a card."""
    CPU_MILLI = "cpu_milli"
    """CPU cores in 1/1,000."""
    MEMORY_MIB = "memory_mib"
    STORAGE_BYTES = "storage_bytes"
    TOKENS = "tokens"

    @property
    def is_timed(self) -> bool:
        """Whether quantity = amount × time."""
        return self is not Unit.TOKENS


@dataclass(frozen=True, slots=True)
class Demand:
    """So much of a resource, held. `resource`: `accelerator/<catalogue id>`, `cpu`, `memory`, `storage`."""

    resource: str
    unit: Unit
    amount: int
    pflops: float | None = None
    """Normalised PFLOPS of one whole card; None: unknown."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of use of one resource. Key: (source, external_id, resource, sequence); sequence starts at 0.

    All spans of one (source, external_id, resource), a *stream*, share organisation, project, reference, unit and
    price version, and each starts where the one before ended.
    """

    source: str
    """The room that measured it, such as `compute`."""
    external_id: str
    """What used it there, such as an attempt."""
    resource: str
    sequence: int
    org_id: str
    project_id: str
    reference: str
    """What people know it by, such as the job."""
    start_us: int
    end_us: int
    unit: Unit
    amount: int
    price_version_id: str
    pflops: float | None = None
    """Normalised PFLOPS of one whole card, frozen here."""
    pflops_basis: str = ""
    """`measured`, `assumed` or `unknown`."""
    billable: bool = True
    why_not: Text | None = None
    """Why it is not billed; without parameters: its template is what is kept."""


class AccountKind(StrEnum):
    """The five kinds of double-entry bookkeeping. Balances are kept debit-positive throughout."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


class TxKind(StrEnum):
    """Why a transaction was written."""

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
    """A transaction to be written. `funds` changes what `org_id` has (wallet and receivable follow from it)."""

    kind: TxKind
    reference: str
    """Unique: writing the same reference twice writes once."""
    memo: Text
    org_id: str | None = None
    funds: Money = ZERO
    entries: tuple[Entry, ...] = ()
    """The other sides; together with `-funds` they sum to zero."""
    actor: str = "center"


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction as it stands in the books."""

    id: str
    seq: int
    fresh: bool
    """False: this reference was written before; nothing was added."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an organisation has and may still use, now."""

    org_id: str
    balance: Money
    """Paid in less charged; negative: owed."""
    held: Money
    """Set aside for running work."""
    credit_limit: Money
    """How far below zero it may go (postpaid)."""

    @property
    def available(self) -> Money:
        """What a new hold may take."""
        return self.balance + self.credit_limit - self.held


@dataclass(frozen=True, slots=True)
class Party:
    """Who buys or sells, as an invoice names them."""

    name: str = ""
    tax_id: str = ""
    """纳税人识别号: the unified social credit code of 18 characters."""
    address: str = ""
    phone: str = ""
    bank: str = ""
    bank_account: str = ""


_APPROVAL_ABOVE = Money(10_000_000_000)


@dataclass(frozen=True, slots=True)
class Site:
    """The center as a seller, and its rules of money."""

    seller: Party = field(default_factory=Party)
    time_zone: str = "Asia/Shanghai"
    """Months are this zone's; frozen into each price version."""
    tax_rate_bp: int = 600
    """Prices include VAT at this rate: 6 % for information technology services (Cai Shui [2016] No. 36)."""
    approval_above: Money = _APPROVAL_ABOVE
    """Top-ups above this need a second person: 10,000 yuan."""
    invoice_prefix: str = "PS"
