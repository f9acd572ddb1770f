"""The page of the site's energy facts, and energy on invoices and beside jobs."""

from __future__ import annotations

from html import unescape

from pearlstreet.ledger.months import month_at
from pearlstreet.ledger.site import read_site
from tests.console.visitors import Console, words

HOSTILE = """<script>alert("x")</script>'"&"""
FORM = {
    "pue": "1.25",
    "pue_source": HOSTILE,
    "pue_as_of": "2026-01-01",
    "tariff_kind": "time_of_use",
    "tariff_periods": "day; 0.80; 1-12; all; 8-21\r\nnight; 0.30; 1-12; all; 0-7,22-23\r\n",
    "tariff_source": "contract",
    "tariff_as_of": "2026-01-01",
    "carbon_kind": "constant",
    "carbon": "536.6",
    "carbon_source": "announcement",
    "carbon_as_of": "2024-12-26",
    "core": "8",
    "core_source": "meter",
    "core_as_of": "2026-01-01",
    "valid_from": "2026-01-01T00:00",
    "note": "first",
}


def test_an_operator_sets_facts_and_everybody_reads_them(console: Console) -> None:
    system, owner = console.visitor("system"), console.visitor("owner")
    answer = system.post("/energy", "set", FORM)
    assert answer.headers["location"] == "/energy", words(answer)
    page = system.get("/energy")
    assert "<script>alert" not in page.text
    assert HOSTILE in unescape(page.text)
    shown = words(owner.get("/energy"))
    assert "1.25" in shown
    assert "536.6 g" in shown
    assert "0-7,22-23" in shown
    assert "Set new facts" not in shown
    assert owner.post("/energy", "set", FORM).status_code == 403


def test_what_is_wrong_stands_at_its_field_and_nothing_is_set(console: Console) -> None:
    system = console.visitor("system")
    before = words(system.get("/energy")).count("in force")
    for changed, said in (
        ({"pue": "0.8"}, "A PUE is from 1 to 5"),
        ({"pue": "much"}, "much is not a number"),
        ({"carbon_as_of": ""}, "is not a day"),
        ({"tariff_periods": "day; 0.80; 1-12; all; 8-21"}, "No period has hour 0 of workdays in month 1"),
        ({"tariff_periods": "day; 0.80"}, "Line 1 does not read"),
        ({"tariff_kind": "flat", "tariff_price": ""}, "not an amount of yuan"),
        ({"carbon_kind": "hourly", "carbon_series": ""}, "Name an imported series"),
    ):
        answer = system.post("/energy", "set", {**FORM, **changed})
        assert answer.status_code in (404, 422), changed
        assert said in unescape(words(answer)), changed
    assert words(system.get("/energy")).count("in force") == before


def test_a_calendar_is_typed_as_runs_of_days_and_shown_so(console: Console) -> None:
    system = console.visitor("system")
    calendar = {
        "tariff_periods": FORM["tariff_periods"] + "deep valley; 0.1; 10; holidays; 10-13",
        "tariff_holidays": "2026-09-25..2026-09-27\r\n2026-10-01..2026-10-07",
        "tariff_working_days": "2026-09-20，2026-10-10",
    }
    answer = system.post("/energy", "set", {**FORM, **calendar})
    assert answer.headers["location"] == "/energy", words(answer)
    page = system.get("/energy")
    assert "public holidays" in words(page)
    assert "2026-09-25..2026-09-27, 2026-10-01..2026-10-07" in words(page)
    assert "2026-09-20, 2026-10-10</textarea>" in page.text, "the form holds what is set"
    wrong = {"pue": "0.5", "tariff_holidays": "2026-10-07..2026-10-01", "tariff_working_days": "2026-10-09"}
    answer = system.post("/energy", "set", {**FORM, **calendar, **wrong})
    assert answer.status_code == 422
    told = unescape(words(answer))
    for said in (
        "A PUE is from 1 to 5",
        "is neither a day nor days in a row",
        "2026-10-09 is no Saturday or Sunday",
    ):
        assert said in told


def test_hours_are_imported_from_a_file(console: Console) -> None:
    system = console.visitor("system")
    token = system.token()
    form = {
        "do": "import",
        "token": token,
        "name": "grid",
        "kind": "carbon",
        "source": "center",
        "as_of": "2026-01-02",
    }
    good = {"file": ("hours.csv", b"time,g_per_kwh\n2026-01-01T00:00Z,500\n", "text/csv")}
    answer = system.send("POST", "/energy", data=form, files=good)
    assert answer.headers.get("location") == "/energy", words(answer)
    assert "grid" in words(system.get("/energy"))
    bad = {"file": ("hours.csv", b"time,g_per_kwh\n2026-01-01T02:00Z,many\n", "text/csv")}
    answer = system.send("POST", "/energy", data=form, files=bad)
    assert answer.status_code == 422
    assert "many is not a number" in words(answer)


def test_a_job_and_an_invoice_show_energy(console: Console) -> None:
    console.visitor("system").post("/energy", "set", FORM)
    job = console.world.submit(simulate="50s")
    console.world.until(job, "succeeded")
    owner = console.visitor("owner")
    shown = words(owner.get(f"/jobs/{job}"))
    assert "Energy of the facility" in shown
    assert "kg CO2e" in shown
    console.world.step()
    store = console.world.center.store
    month = month_at(store.clock.now_us(), store.read(read_site).time_zone).name
    invoice = words(owner.get(f"/billing/invoices/{month}"))
    assert "Energy of the machines (IT)" in invoice
    assert "location-based" in invoice
