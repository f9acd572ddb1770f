"""Page of the catalogue of accelerators: vendors' ratings of their cards, with sources."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.compute.hardware.catalogue import PRECISIONS, Accelerator, catalogue
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PER_PAGE, PageRequest, PageResponse, View
from pearlstreet.console.paging import cut, page_number


def show(request: PageRequest) -> PageResponse:
    """Show the accelerators that match the search, in the order of the catalogue."""
    book = catalogue()
    words, vendor = request.query.get("q", "")[:120].strip(), request.query.get("vendor", "")
    fitting = [
        item for item in book if (not vendor or item.vendor == vendor) and (not words or _fits(item, words))
    ]
    return View(
        "accelerators.html",
        {
            "shown": cut(fitting, page_number(request), PER_PAGE),
            "count": len(book),
            "vendors": sorted({item.vendor for item in book}, key=str.lower),
            "vendor": vendor,
            "words": words,
            "precisions": PRECISIONS,
            "filters": {name: value for name, value in (("q", words), ("vendor", vendor)) if value},
        },
    )


def _fits(item: Accelerator, words: str) -> bool:
    """Return whether the search matches one of the accelerator's names, or every word occurs in its description."""
    said = " ".join(
        (item.id, item.name, item.vendor, *item.aliases, item.memory_type, item.form_factor, item.link)
    )
    return catalogue().matches(words, item.id) or all(word in said.lower() for word in words.lower().split())


PAGES = (
    ConsolePage(
        "/accelerators",
        text("Accelerators"),
        show,
        scope="nodes:read",
        menu=MenuPlace(MenuGroup.CENTER, 2, "chip", "a"),
    ),
)
