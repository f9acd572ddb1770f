"""Invariants of charges and refunds: use is charged once, a charge is refunded once, postings match their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pearlstreet.sim.promises import must

_NEW = (
    "SELECT c.seq, c.id, c.stream_id, c.org_id, c.month, c.first_sequence, c.last_sequence,"
    " c.month || c.rule_resource || c.rule_kind, c.amount_micro, c.refunds_id, t.kind, t.org_id, t.funds_micro"
    " FROM ledger_charges c LEFT JOIN ledger_transactions t ON t.seq = c.tx_seq WHERE c.seq > ? ORDER BY c.seq"
)
_MOVED = (
    "SELECT seq, kind, funds_micro FROM ledger_transactions"
    " WHERE seq > ? AND kind IN ('charge', 'refund') ORDER BY seq"
)


@dataclass(frozen=True, slots=True)
class _Charge:
    stream: int
    org_id: str
    month: str
    first: int
    last: int
    micro: int


class ChargeRules:
    """Invariants of one world's charges, checked for each new row."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._seq = self._tx = 0
        self._billed: dict[int, tuple[int, str]] = {}
        self._charges: dict[str, _Charge] = {}
        self._refunded: set[str] = set()

    def check(self) -> None:
        """Check the rows written since the last call. Raises Violation."""
        moved = {"charge": 0, "refund": 0}
        for row in self._raw.execute(_NEW, (self._seq,)).fetchall():
            self._seq = row[0]
            _, charge_id, stream, org_id, month, first, last, part, micro, refunds, kind, tx_org, funds = row
            charge = _Charge(stream, org_id, month, first, last, micro)
            if refunds is None:
                self._charged(charge_id, charge, part)
            else:
                self._refund(refunds, charge)
            if micro:
                expected = ("charge" if refunds is None else "refund", org_id, -micro)
                must(
                    (kind, tx_org, funds) == expected,
                    "money moves as charges say",
                    f"{charge_id}: {kind} {funds}",
                )
                moved[kind] -= micro
        for seq, kind, funds in self._raw.execute(_MOVED, (self._tx,)).fetchall():
            self._tx = seq
            moved[kind] -= funds
        must(
            not any(moved.values()),
            "money moves as charges say",
            f"moved without a charge or refund: {moved}",
        )

    def _charged(self, charge_id: str, charge: _Charge, part: str) -> None:
        billed, by = self._billed.get(charge.stream, (-1, ""))
        new = charge.first > billed or (charge.first == billed and part != by)
        span = f"stream {charge.stream}: {charge.first}–{charge.last} after {billed}"
        must(new, "use is charged once", span)
        self._billed[charge.stream] = (charge.last, part)
        self._charges[charge_id] = charge

    def _refund(self, refunded: str, refund: _Charge) -> None:
        charge = self._charges.get(refunded)
        must(charge is not None, "a refund gives back its charge", f"{refunded} is no charge")
        must(refunded not in self._refunded, "a charge is refunded once", refunded)
        self._refunded.add(refunded)
        assert charge is not None
        back = _Charge(refund.stream, refund.org_id, refund.month, refund.first, refund.last, -refund.micro)
        must(back == charge, "a refund gives back its charge", f"{refunded}: {charge}, {back}")
