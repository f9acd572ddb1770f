"""An invoice as PDF. Chinese is set in STSong-Light, a font that all PDF readers include, so no font file is needed."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import groupby
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.ledger.invoices.page import Page, page

LATIN, LATIN_BOLD, CHINESE = "Helvetica", "Helvetica-Bold", "STSong-Light"
_PADDING = 6.0
"""Padding of a frame on each side, in points."""
_WIDTH = A4[0] - 36 * mm - 2 * _PADDING
_GREY = colors.HexColor("#667085")
_LINE = colors.HexColor("#D0D5DD")


def to_pdf(invoice: Invoice, language: str = "en") -> bytes:
    """Return the invoice as a PDF document; the same invoice gives the same bytes."""
    if CHINESE not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))
    shown = page(invoice, language)
    pdf = BytesIO()
    document = SimpleDocTemplate(
        pdf,
        pagesize=A4,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=18 * mm,
        bottomMargin=18 * mm,
        title=f"{shown.title} {invoice.number or invoice.month}",
        author=invoice.seller.name,
        invariant=1,
    )
    document.build(_flowables(shown))
    return pdf.getvalue()


def _flowables(shown: Page) -> list[Flowable]:
    half = _WIDTH / 2
    parties = Table(
        [[_pairs(shown.seller, half), _pairs(shown.buyer, half)]],
        colWidths=[half, half],
        hAlign="LEFT",
        style=TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]),
    )
    return [
        _text(shown.title, size=20, bold=True),
        Spacer(1, 6 * mm),
        _pairs(shown.facts, _WIDTH),
        Spacer(1, 5 * mm),
        parties,
        Spacer(1, 7 * mm),
        _lines(shown),
        Spacer(1, 4 * mm),
        _sums(shown),
        *(_energy(shown) if shown.energy else []),
        Spacer(1, 8 * mm),
        *[_text(note, size=8, color=_GREY) for note in shown.notes],
    ]


def _energy(shown: Page) -> list[Flowable]:
    return [
        Spacer(1, 7 * mm),
        _pairs(shown.energy, _WIDTH, label_width=70 * mm),
        *[_text(note, size=8, color=_GREY) for note in shown.energy_notes],
    ]


def _pairs(pairs: Sequence[tuple[str, str]], width: float, *, label_width: float = 34 * mm) -> Table:
    rows = [[_text(label, color=_GREY), _text(value)] for label, value in pairs]
    return Table(
        rows,
        colWidths=[label_width, width - label_width],
        hAlign="LEFT",
        style=TableStyle(
            [
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        ),
    )


def _lines(shown: Page) -> Table:
    is_right = (False, True, False, True, True)
    head = [_text(name, color=_GREY, right=right) for name, right in zip(shown.heads, is_right, strict=True)]
    rows = [
        [_text(value, right=right) for value, right in zip(row, is_right, strict=True)] for row in shown.rows
    ]
    shares = (0.34, 0.19, 0.15, 0.16, 0.16)
    return Table(
        [head, *rows],
        colWidths=[_WIDTH * share for share in shares],
        repeatRows=1,
        style=TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.black),
                ("LINEBELOW", (0, 1), (-1, -1), 0.4, _LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ]
        ),
    )


def _sums(shown: Page) -> Table:
    last = len(shown.sums) - 1
    rows = [
        [_text(label, bold=index == last), _text(amount, right=True, bold=index == last)]
        for index, (label, amount) in enumerate(shown.sums)
    ]
    return Table(
        rows,
        colWidths=[_WIDTH * 0.42, _WIDTH * 0.2],
        hAlign="RIGHT",
        style=TableStyle(
            [
                ("LINEABOVE", (0, -1), (-1, -1), 0.8, colors.black),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ]
        ),
    )


def _text(
    value: str, *, size: int = 9, bold: bool = False, right: bool = False, color: object = colors.black
) -> Paragraph:
    style = ParagraphStyle(
        "text",
        fontName=LATIN_BOLD if bold else LATIN,
        fontSize=size,
        leading=size * 1.35,
        textColor=color,
        wordWrap="CJK" if not value.isascii() else None,
        **({"alignment": TA_RIGHT} if right else {}),
    )
    return Paragraph(_runs(value), style)


def _runs(value: str) -> str:
    """Return markup that sets characters missing in Helvetica in the Chinese font."""
    parts = []
    for is_latin, letters in groupby(value, key=_is_latin):
        run = escape("".join(letters))
        parts.append(run if is_latin else f'<font name="{CHINESE}">{run}</font>')
    return "".join(parts)


def _is_latin(letter: str) -> bool:
    return letter.isascii() or letter in "¥·éèüöäñ"
