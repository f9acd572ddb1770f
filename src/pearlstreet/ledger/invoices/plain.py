"""An invoice as plain text with aligned columns; Chinese characters count as two cells."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.ledger.invoices.page import page


def to_plain(invoice: Invoice, language: str = "en") -> str:
    """Return the invoice as plain text, without colours."""
    shown = page(invoice, language)
    widths = [
        max(width_of(row[column]) for row in (shown.heads, *shown.rows)) for column in range(len(shown.heads))
    ]
    pairs = (*shown.sums, *shown.energy)
    widest = max((width_of(label) + 2 + width_of(value) for label, value in pairs), default=0)
    total = max(60, sum(widths) + 2 * (len(widths) - 1), widest)
    widths[0] += total - sum(widths) - 2 * (len(widths) - 1)
    rule = "─" * total
    lines = [shown.title, rule, *_pairs(shown.facts), "", *_pairs(shown.seller), "", *_pairs(shown.buyer)]
    lines += ["", _columns(shown.heads, widths), rule]
    lines += [_columns(row, widths) for row in shown.rows]
    lines += [rule]
    lines += [fit(label, total - width_of(amount)) + amount for label, amount in shown.sums]
    if shown.energy:
        lines += [rule, *(fit(label, total - width_of(value)) + value for label, value in shown.energy)]
        lines += shown.energy_notes
    lines += [rule, *shown.notes]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def width_of(value: str) -> int:
    """Return the number of terminal cells that a string occupies."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in value)


def fit(value: str, width: int, *, right: bool = False) -> str:
    """Return the string padded to `width` terminal cells, on the left if `right`."""
    space = " " * max(0, width - width_of(value))
    return space + value if right else value + space


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[str]:
    width = max(width_of(label) for label, _ in pairs) + 2
    return [fit(label, width) + value for label, value in pairs]


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    is_right = (False, True, False, True, True)
    return "  ".join(
        fit(value, width, right=right) for value, width, right in zip(row, widths, is_right, strict=True)
    )
