"""Page of the calibration of estimates by finished quoted runs and node benchmarks, with its reset."""

from __future__ import annotations

from pearlstreet.base.text import plural, text
from pearlstreet.charts.ranges import Range, ratios
from pearlstreet.console import offer_view
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.home import org_slugs
from pearlstreet.quotes.calibrating import (
    SCOPE_READ,
    SCOPE_RESET,
    Factor,
    reset_calibration,
    show_calibration,
)
from pearlstreet.quotes.finished import FinishedQuote, finished_quotes

SHOWN = 20
"""Number of finished quotes shown, newest first."""


def show(request: PageRequest) -> PageResponse:
    """Show all calibration factors, and quoted beside actual run times."""
    finished = finished_quotes(request.store, request.actor, limit=SHOWN)
    return View(
        "calibration.html",
        {
            "factors": [_factor(one) for one in show_calibration(request.store, request.actor)],
            "org_slugs": org_slugs(request) if request.actor.may("orgs:read") else {},
            "finished": [_finished(one, request.language) for one in finished],
            "inside": sum(one.quoted_s.p10 <= one.actual_s <= one.quoted_s.p90 for one in finished),
            "chart": ratios(
                request.say(text("Run time: quoted and actual")),
                [_range(one, request.language) for one in finished],
                empty=request.say(text("No job of a quote has finished yet.")),
                note=request.say(
                    text(
                        "100 % is the quoted median; the bar is the quoted range, the mark the actual value."
                    )
                ),
            ),
            "may_reset": request.actor.may(SCOPE_RESET),
        },
    )


def _factor(one: Factor) -> dict[str, object]:
    return {
        "device": one.device,
        "recipe": one.recipe,
        "org_id": one.org_id,
        "factor": f"× {one.factor:.3f}",
        "deviation": f"± {100 * one.deviation:.1f} %",
        "runs": one.runs,
        "benches": one.benches,
    }


def _finished(one: FinishedQuote, language: str) -> dict[str, object]:
    return {
        "quote": one,
        "machines": f"{one.count} × {one.accelerator}",
        "quoted": offer_view.band(one.quoted_s, "s", language),
        "actual": offer_view.amount_of(one.actual_s, "s", language),
        "error": f"{100 * (one.actual_s / one.quoted_s.median - 1):+.1f} %",
        "inside": one.quoted_s.p10 <= one.actual_s <= one.quoted_s.p90,
    }


def _range(one: FinishedQuote, language: str) -> Range:
    name = f"{one.job_name} · {one.count} × {one.accelerator}"
    return offer_view.as_share(
        name, one.quoted_s, one.actual_s, offer_view.amount_of(one.actual_s, "s", language)
    )


def reset(request: PageRequest) -> PageResponse:
    """Reset the calibration of a recipe, of a device, or all of it."""
    count = reset_calibration(
        request.store,
        request.actor,
        device=request.value("device") or None,
        recipe=request.value("recipe") or None,
        org_id=request.value("org_id") or None,
    )
    return Redirect(
        "/calibration", plural("{count} correction is reset", "{count} corrections are reset", count=count)
    )


PAGES = (
    ConsolePage(
        "/calibration",
        text("Calibration"),
        show,
        scope=SCOPE_READ,
        actions={"reset": reset},
        menu=MenuPlace(MenuGroup.CENTER, 9, "chart", "1"),
    ),
)
