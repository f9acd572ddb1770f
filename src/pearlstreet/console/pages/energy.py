"""Page of the site's energy facts; operators can also set them and import hourly series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from pearlstreet.base.days import format_days
from pearlstreet.base.errors import Gathered, InvalidInput
from pearlstreet.base.text import Text, plural, text
from pearlstreet.base.units import format_runs
from pearlstreet.charts.lines import Series as Line
from pearlstreet.charts.lines import lines
from pearlstreet.console.form_parsing import text_in, wrong
from pearlstreet.console.forms.energy_fields import field_of, read_form, write_form, write_periods
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.routing import once
from pearlstreet.energy import service
from pearlstreet.energy.model import HOUR_US, Period, SeriesKind, SiteFacts, TimeOfUse
from pearlstreet.energy.presets import bands_presets, carbon_presets
from pearlstreet.energy.rules import Meter
from pearlstreet.ledger.site import read_site

DAYS_BACK, DAYS_AHEAD = 13, 1
VERSIONS_SHOWN = 50
FILE_BYTES_MAX = 8 << 20


def show(request: PageRequest) -> PageResponse:
    """Show the current facts, their course by the hour and all versions."""
    now = service.current_facts(request.store, request.actor)
    zone = request.store.read(read_site).time_zone
    series = service.list_series(request.store, request.actor)
    names = {one.id: one.name for one in series}
    return View(
        "energy.html",
        {
            "facts": now,
            "fields": write_form(now),
            "tariff": now.tariff.rule if now and now.tariff else None,
            "carbon": now.carbon.rule if now and now.carbon else None,
            "periods": _periods(now),
            "calendar": _calendar(now),
            "series": series,
            "names": names,
            "of_kind": {
                kind.value: [(one.id, one.name) for one in series if one.kind is kind] for kind in SeriesKind
            },
            "versions": service.list_facts(request.store, request.actor, limit=VERSIONS_SHOWN),
            "charts": _charts(request, now) if now else (),
            "zone": zone,
            "may_set": request.actor.may(service.WRITE),
            "presets": [
                (one.title_zh if request.language == "zh-CN" else one.title, one) for one in carbon_presets()
            ],
            "bands": [
                (one.title_zh if request.language == "zh-CN" else one.title, one, write_periods(one.rule))
                for one in bands_presets()
            ],
            "file_max": FILE_BYTES_MAX,
        },
    )


def set_facts(request: PageRequest) -> PageResponse:
    """Set a new version of the facts."""
    unread = Gathered()
    wish = read_form(request, request.store.read(read_site).time_zone, unread)
    try:
        made = service.set_facts(once(request), request.actor, wish, unread.problems)
    except InvalidInput as error:
        problems = [replace(one, field=field_of(one.field)) for one in error.problems]
        raise InvalidInput(error.message, hint=error.hint, problems=problems) from None
    return Redirect("/energy", text("Version {number} of the site's facts is set", number=made.number))


def import_hours(request: PageRequest) -> PageResponse:
    """Import an hourly series from a CSV file."""
    file = request.files.get("file")
    if file is None or not file.content:
        raise wrong("file", text("Choose a CSV file"))
    try:
        written = file.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise wrong("file", text("The file is not text in UTF-8")) from None
    kind = next((one for one in SeriesKind if one.value == request.value("kind")), SeriesKind.CARBON)
    wish = service.Import(
        name=text_in(request, "name", 80),
        kind=kind,
        csv=written,
        source=request.value("source"),
        as_of=request.value("as_of"),
        column=request.value("column") or None,
        unit=request.value("unit") or None,
    )
    made = service.import_series(once(request), request.actor, wish)
    done = plural(
        "{count} hour is added to {name}",
        "{count} hours are added to {name}",
        count=made.added,
        name=made.series.name,
    )
    return Redirect("/energy", done)


def _periods(facts: SiteFacts | None) -> Sequence[tuple[Period, str, str, str]]:
    """Return each period of the tariff with its months, days and hours as text."""
    if facts is None or facts.tariff is None or not isinstance(facts.tariff.rule, TimeOfUse):
        return ()
    return [
        (one, format_runs(one.months), one.days.value, format_runs(one.hours))
        for one in facts.tariff.rule.periods
    ]


def _calendar(facts: SiteFacts | None) -> Sequence[tuple[Text, str]]:
    """Return the tariff's holidays and working weekend days as text."""
    if facts is None or facts.tariff is None or not isinstance(facts.tariff.rule, TimeOfUse):
        return ()
    rule = facts.tariff.rule
    rows = ((text("Public holidays"), rule.holidays), (text("Working weekend days"), rule.working_days))
    return [(name, format_days(days)) for name, days in rows if days]


def _charts(request: PageRequest, facts: SiteFacts) -> Sequence[Markup]:
    """Return hourly charts of price and carbon per kWh of the machines, including the PUE and a forecast."""
    hour = request.store.clock.now_us() // HOUR_US
    first, last = hour - 24 * DAYS_BACK, hour + 24 * DAYS_AHEAD
    known = service.facts_between(request.store, request.actor, first * HOUR_US, last * HOUR_US)
    meter = Meter(known, first * HOUR_US, last * HOUR_US, forecast=True)
    seen = [(one * HOUR_US, meter.of(1.0, one * HOUR_US, (one + 1) * HOUR_US)) for one in range(first, last)]
    price = [(us, it.energy_cost_micro / 1e6) for us, it in seen if it.energy_cost_micro is not None]
    carbon = [(us, it.carbon_kg * 1000) for us, it in seen if it.carbon_kg is not None]
    drawn = []
    if carbon and facts.carbon:
        title = request.say(text("Carbon per kWh of the machines, including the PUE"))
        drawn.append(lines(title, [Line(request.say(text("Carbon")), carbon)], unit=" g CO2e", filled=True))
    if price and facts.tariff:
        title = request.say(text("Cost per kWh of the machines, including the PUE"))
        drawn.append(lines(title, [Line(request.say(text("Price")), price)], unit=" ¥", filled=True))
    return drawn


PAGES = (
    ConsolePage(
        "/energy",
        text("Energy"),
        show,
        scope=service.READ,
        actions={"set": set_facts, "import": import_hours},
        upload_bytes_max=FILE_BYTES_MAX,
        menu=MenuPlace(MenuGroup.CENTER, 3, "bolt", "g"),
    ),
)
