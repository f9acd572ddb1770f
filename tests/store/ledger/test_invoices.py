"""Invoices: drafted any time, issued once, exact to the micro-yuan, in two languages, on screen and on paper."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from pypdf import PdfReader
from tests.store.ledger.books import (
    CLERK,
    MEMBER,
    NOON,
    ORG,
    OWNER,
    STRANGER,
    at,
    books_are_right,
    opened,
    pay,
    shanghai_us,
    use,
    use_at,
    yuan,
)

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, NotFound
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.ledger.invoices.pdf import to_pdf
from pearlstreet.ledger.invoices.plain import to_plain, width_of
from pearlstreet.ledger.invoices.service import draft_invoice, get_invoice, issue_invoice, list_invoices
from pearlstreet.ledger.model import Party, Site, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.site import set_buyer, set_site
from pearlstreet.ledger.spans import refund_attempt
from pearlstreet.store.core import Store
from pearlstreet.tenancy.tables import orgs

NOVEMBER, DECEMBER = "2026-11", "2026-12"
HOUR_US = 3_600_000_000
OVER = shanghai_us(2026, 12, 1)


def busy(store: Store) -> Store:
    """A month with processors, cards, a refund, and odd micro-yuan."""
    books = opened(store)
    set_site(books, CLERK, Site(seller=Party("明珠算力中心", "91310000MA1FL00000", "上海市浦东新区")))
    set_buyer(books, OWNER, ORG, Party("海鸥科技有限公司", "91310000MA1FL11111", bank="中国银行"))
    pay(books, "500")
    use(books, 100)
    card = {"resource": "accelerator/h100-sxm-80g", "unit": Unit.CARD_BP, "amount": 80_000, "pflops": 0.5934}
    use_at(books, "att_2", NOON, NOON + 2 * HOUR_US, NOON + 3 * HOUR_US + 1, **card)
    use_at(books, "att_3", NOON, NOON + HOUR_US, amount=2000)
    post_due_spans(books)
    books.write(lambda tx: refund_attempt(tx, "att_3", text("The node failed")))
    return books


def test_a_draft_shows_the_month_so_far(store: Store) -> None:
    books = busy(store)
    draft = draft_invoice(books, MEMBER, ORG, NOVEMBER, energy=None)
    assert (draft.number, draft.issued_us) == (None, None)
    assert [(str(line.label), str(line.amount)) for line in draft.lines] == [
        ("Accelerator H100-SXM-80G", "356.04"),
        ("CPU", "2.24"),
        ("Refund: CPU", "-0.24"),
    ]
    assert (draft.used, draft.total) == (yuan("358.04"), yuan("358.04"))
    assert draft_invoice(at(books, OVER), MEMBER, ORG, DECEMBER, energy=None).lines == ()


def test_a_month_that_has_not_begun_has_no_invoice(store: Store) -> None:
    books = busy(store)
    for ask, actor in ((draft_invoice, MEMBER), (issue_invoice, CLERK)):
        with pytest.raises(NotFound, match=r"2026-12 has not begun yet") as refused:
            ask(books, actor, ORG, DECEMBER, energy=None)
        assert "pearl invoice 2026-11" in str(refused.value.hint)


def test_a_month_before_the_organisation_has_no_invoice_unless_it_was_charged(store: Store) -> None:
    books = busy(store)
    books.write(lambda tx: tx.execute(orgs.update().where(orgs.c.id == ORG).values(created_us=OVER)))
    later = at(books, OVER + HOUR_US)
    assert draft_invoice(later, MEMBER, ORG, NOVEMBER, energy=None).lines, "its use was charged to it"
    for ask, actor in ((draft_invoice, MEMBER), (issue_invoice, CLERK)):
        with pytest.raises(NotFound, match=r"has been a tenant since 2026-11.* no invoice of 2026-10"):
            ask(later, actor, ORG, "2026-10", energy=None)


def test_net_and_tax_make_the_total_exactly(sqlite_store: Store) -> None:
    draft = draft_invoice(busy(sqlite_store), MEMBER, ORG, NOVEMBER, energy=None)
    assert (draft.net, draft.tax, draft.net + draft.tax) == (yuan("337.77"), yuan("20.27"), draft.total)


def test_a_month_is_issued_when_it_is_over_and_then_stands(store: Store) -> None:
    books = busy(store)
    with pytest.raises(Conflict, match="not over"):
        issue_invoice(at(books, OVER - 1), CLERK, ORG, NOVEMBER, energy=None)
    books = at(books, OVER)
    made = issue_invoice(books, CLERK, ORG, NOVEMBER, energy=None)
    assert (made.number, made.total) == ("PS-2026-11-000001", yuan("358.04"))
    set_buyer(books, OWNER, ORG, Party("Another name"))
    assert issue_invoice(books, CLERK, ORG, NOVEMBER, energy=None) == made
    assert draft_invoice(books, MEMBER, ORG, NOVEMBER, energy=None) == made
    assert get_invoice(books, MEMBER, str(made.id)) == get_invoice(books, MEMBER, made.number) == made
    assert list_invoices(books, MEMBER, ORG) == [made]
    with pytest.raises(Conflict, match="nothing to invoice"):
        issue_invoice(at(books, shanghai_us(2027, 1, 1)), CLERK, ORG, DECEMBER, energy=None)
    books_are_right(books)


def test_use_that_was_not_posted_yet_is_on_it(store: Store) -> None:
    books = opened(store)
    use(books, 100)
    assert issue_invoice(at(books, OVER), CLERK, ORG, NOVEMBER, energy=None).total == yuan("2")


def test_what_comes_late_is_on_the_next_one(store: Store) -> None:
    books = busy(store)
    issue_invoice(at(books, OVER), CLERK, ORG, NOVEMBER, energy=None)
    use(at(books, OVER), 100, external_id="att_late")
    post_due_spans(books)
    draft = draft_invoice(at(books, OVER), MEMBER, ORG, DECEMBER, energy=None)
    assert draft.total == yuan("2")
    issue_invoice(at(books, shanghai_us(2027, 1, 1)), CLERK, ORG, DECEMBER, energy=None)
    books_are_right(books)


def test_less_than_a_fen_is_carried_not_lost(store: Store) -> None:
    books = opened(store)
    use(books, 1, amount=1000 * 7)
    post_due_spans(books)
    november = issue_invoice(at(books, OVER), CLERK, ORG, NOVEMBER, energy=None)
    assert (november.used, november.total, november.carried_out) == (
        yuan("0.014"),
        yuan("0.01"),
        yuan("0.004"),
    )
    use_at(at(books, OVER), "att_2", OVER, OVER + 60_000_000, amount=3000)
    post_due_spans(books)
    december = issue_invoice(at(books, shanghai_us(2027, 1, 1)), CLERK, ORG, DECEMBER, energy=None)
    assert (december.used, december.carried_in, december.total) == (
        yuan("0.006"),
        yuan("0.004"),
        yuan("0.01"),
    )
    assert december.carried_out == Money(0)
    books_are_right(books)


def test_a_refund_beyond_the_months_use_makes_it_negative(sqlite_store: Store) -> None:
    books = opened(sqlite_store)
    use(books, 100)
    post_due_spans(books)
    issue_invoice(at(books, OVER), CLERK, ORG, NOVEMBER, energy=None)
    later = at(books, shanghai_us(2027, 1, 1))
    later.write(lambda tx: refund_attempt(tx, "att_1", text("The node failed")))
    made = issue_invoice(later, CLERK, ORG, DECEMBER, energy=None)
    assert (made.total, made.tax, made.net) == (yuan("-2"), yuan("-0.11"), yuan("-1.89"))
    books_are_right(books)


def test_who_may_not_see_an_invoice_finds_none(sqlite_store: Store) -> None:
    books = at(busy(sqlite_store), OVER)
    made = issue_invoice(books, CLERK, ORG, NOVEMBER, energy=None)
    with pytest.raises(NotFound) as foreign:
        get_invoice(books, STRANGER, str(made.id))
    with pytest.raises(NotFound) as absent:
        get_invoice(books, STRANGER, "inv_nowhere")
    assert str(foreign.value) == str(absent.value)
    with pytest.raises(NotFound):
        draft_invoice(books, STRANGER, ORG, NOVEMBER, energy=None)
    with pytest.raises(Forbidden):
        issue_invoice(books, OWNER, ORG, NOVEMBER, energy=None)
    with pytest.raises(InvalidInput, match="not a month"):
        draft_invoice(books, MEMBER, ORG, "2026-13", energy=None)


def test_json_reads_back_the_same(sqlite_store: Store) -> None:
    draft = draft_invoice(busy(sqlite_store), MEMBER, ORG, NOVEMBER, energy=None)
    assert Invoice.from_json(json.loads(json.dumps(draft.to_json()))) == draft


def test_the_terminal_shows_it_aligned_in_both_languages(sqlite_store: Store) -> None:
    draft = draft_invoice(busy(sqlite_store), MEMBER, ORG, NOVEMBER, energy=None)
    english, chinese = to_plain(draft, "en"), to_plain(draft, "zh-CN")
    for expected in (
        "Draft invoice",
        "Accelerator H100-SXM-80G",
        "PFLOPS·h",
        "358.04",
        "Tax (6 %)",
        "海鸥科技有限公司",
    ):
        assert expected in english
    for expected in ("账单草稿", "纳税人识别号", "加速器 H100-SXM-80G", "价税合计", "91310000MA1FL11111"):
        assert expected in chinese
    for shown in (english, chinese):
        sums = [line for line in shown.splitlines() if line.endswith(("358.04", "337.77", "20.27"))]
        assert len({width_of(line) for line in sums}) == 1


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["Invoice", "PS-2026-11-000001", "Accelerator H100-SXM-80G", "¥358.04", "海鸥科技有限公司"]),
        ("zh-CN", ["账单", "纳税人识别号", "加速器", "税额", "¥358.04", "海鸥科技有限公司"]),
    ],
)
def test_the_pdf_says_the_same(sqlite_store: Store, language: str, expected: list[str]) -> None:
    made = issue_invoice(at(busy(sqlite_store), OVER), CLERK, ORG, NOVEMBER, energy=None)
    document = to_pdf(made, language)
    assert document == to_pdf(made, language)
    pages = PdfReader(BytesIO(document)).pages
    shown = "".join(page.extract_text() for page in pages).replace("\n", "")
    for words in expected:
        assert words in shown
