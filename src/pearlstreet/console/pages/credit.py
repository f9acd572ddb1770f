"""Operators' page of credit: pending approvals, top-ups, corrections, credit limits and all balances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from markupsafe import Markup

from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.money import with_yuan_sign
from pearlstreet.base.text import text
from pearlstreet.charts.bars import Bars, bars
from pearlstreet.console.form_parsing import text_in, wrong, yuan_in
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, Redirect, View
from pearlstreet.console.routing import once
from pearlstreet.ledger import funds, topups
from pearlstreet.ledger.center_funds import charged_by_month, list_funds
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.topups import TopUpState
from pearlstreet.tenancy.directory import org_names
from pearlstreet.tenancy.model import Organisation
from pearlstreet.tenancy.orgs import get_org, list_orgs

T = TypeVar("T")
RECENT = 20
PENDING_SHOWN = 200
ORGS_OFFERED = 1000


def show(request: PageRequest) -> PageResponse:
    """Show pending top-ups, the forms and the balances of all organisations."""
    store, actor = request.store, request.actor
    words, short = request.query.get("q", "")[:120].strip(), request.query.get("short") == "1"
    found = list_funds(
        store, actor, words=words, short=short, after=request.query.get("after") or None, limit=PER_PAGE + 1
    )
    pending = topups.list_top_ups(store, actor, state=TopUpState.PENDING, limit=PENDING_SHOWN)
    recent = topups.list_top_ups(store, actor, limit=RECENT)
    shown = found[:PER_PAGE]
    may_write = actor.may("credit:write")
    return View(
        "credit.html",
        {
            "pending": pending,
            "recent": recent,
            "names": org_names(store, actor, (one.org_id for one in (*pending, *recent))),
            "is_own": lambda top_up: top_up.requested_by.partition(" ")[0] == actor.label.partition(" ")[0],
            "rows": shown,
            "after": shown[-1].slug if len(found) > PER_PAGE else None,
            "words": words,
            "short": short,
            "filters": {
                name: value for name, value in (("q", words), ("short", "1" if short else "")) if value
            },
            "chart": _chart(request),
            "limit": store.read(read_site).approval_above,
            "may_write": may_write,
            "may_approve": actor.may("credit:approve"),
            "offered": list_orgs(store, actor, limit=ORGS_OFFERED) if may_write else (),
        },
    )


def _chart(request: PageRequest) -> Markup:
    months = charged_by_month(request.store, request.actor)
    series = Bars(request.say(text("Yuan charged")), [money.micro / 1e6 for _, money in months])
    return bars(
        request.say(text("Yuan charged by month, all organisations together")),
        [name for name, _ in months],
        [series],
        rest=request.say(text("others")),
        empty=request.say(text("Nothing charged yet.")),
    )


def give(request: PageRequest) -> PageResponse:
    """Top up an organisation with a payment or a promotion."""
    org, amount = _org(request, "give_org"), yuan_in(request, "give_amount")
    made = _renamed(
        {"amount": "give_amount", "memo": "give_memo"},
        lambda: topups.top_up(
            once(request),
            request.actor,
            org.id,
            amount,
            memo=request.value("give_memo"),
            promotion=request.value("give_kind") == "promotion",
        ),
    )
    if made.state is TopUpState.PENDING:
        return Redirect(
            "/credit",
            text("¥{amount} for {org} waits for a second approval", amount=str(amount), org=org.slug),
        )
    return Redirect("/credit", text("¥{amount} was added to {org}", amount=str(amount), org=org.slug))


def approve(request: PageRequest) -> PageResponse:
    """Approve another person's top-up."""
    done = topups.approve_top_up(request.store, request.actor, request.value("top_up"))
    return Redirect("/credit", text("¥{amount} was booked", amount=str(done.amount)))


def reject(request: PageRequest) -> PageResponse:
    """Reject a pending top-up."""
    done = topups.reject_top_up(request.store, request.actor, request.value("top_up"))
    return Redirect("/credit", text("The top-up of ¥{amount} is rejected", amount=str(done.amount)))


def correct(request: PageRequest) -> PageResponse:
    """Correct a mistake by a new transaction."""
    org, amount = _org(request, "fix_org"), yuan_in(request, "fix_amount")
    if not request.value("fix_memo"):
        raise wrong("fix_memo", text("Enter the reason: it is shown on the organisation’s statement"))
    topups.correct(
        request.store,
        request.actor,
        org.id,
        amount,
        memo=text_in(request, "fix_memo", 500),
        reference=text_in(request, "fix_reference", 100),
    )
    return Redirect(
        "/credit",
        text(
            "The balance of {org} is corrected by {amount}", org=org.slug, amount=with_yuan_sign(str(amount))
        ),
    )


def set_limit(request: PageRequest) -> PageResponse:
    """Set how far an organisation's balance may fall below zero."""
    org, limit = _org(request, "limit_org"), yuan_in(request, "limit_amount")
    if limit.micro < 0:
        raise wrong("limit_amount", text("A credit limit is 0 or more"))
    funds.set_credit_limit(request.store, request.actor, org.id, limit)
    return Redirect(
        "/credit", text("The credit limit of {org} is ¥{amount}", org=org.slug, amount=str(limit))
    )


def _org(request: PageRequest, field: str) -> Organisation:
    written = request.value(field)
    if not written:
        raise wrong(field, text("Choose an organisation"))
    try:
        return get_org(request.store, request.actor, written)
    except PearlError as error:
        raise wrong(field, error.message) from None


def _renamed(names: Mapping[str, str], work: Callable[[], T]) -> T:
    """Call a service and rename the fields of its problems to those of this page."""
    try:
        return work()
    except InvalidInput as error:
        problems = [
            Problem(names.get(one.field, one.field), one.message, one.line, one.column, hint=one.hint)
            for one in error.problems
        ]
        raise InvalidInput(error.message, hint=error.hint, problems=problems) from None


PAGES = (
    ConsolePage(
        "/credit",
        text("Credit"),
        show,
        scope="credit:read",
        at_center=True,
        actions={
            "give": give,
            "approve": approve,
            "reject": reject,
            "correct": correct,
            "limit": set_limit,
        },
        menu=MenuPlace(MenuGroup.CENTER, 12, "money", "t"),
    ),
)
