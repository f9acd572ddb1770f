"""Energy by the API: facts, series, jobs, invoices; what is wrong is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.world import World

ORIGIN = {"source": "contract", "as_of": "2026-01-01"}
ALWAYS = {"name": "all", "yuan_per_kwh": "0.6"}
FACTS: dict[str, Any] = {
    "pue": {"value": 1.25, **ORIGIN},
    "tariff": {"kind": "flat", "yuan_per_kwh": "0.8", **ORIGIN},
    "carbon": {"kind": "constant", "g_per_kwh": 536.6, **ORIGIN},
    "core": {"watts": 10, **ORIGIN},
}


def test_facts_are_set_by_the_system_duty_and_read_by_everybody(world: World) -> None:
    before = world.get("/energy").json()
    assert before == {"facts": None, "time_zone": "Asia/Shanghai"}
    assert world.post("/energy/facts", "owner", json=FACTS).status_code == 403
    assert world.post("/energy/facts", "security", json=FACTS).status_code == 403
    made = world.post("/energy/facts", "system", json=FACTS)
    assert made.status_code == 201, made.text
    shown = world.get("/energy", "viewer").json()["facts"]
    assert shown["pue"] == FACTS["pue"]
    assert shown["tariff"]["yuan_per_kwh"] == "0.80"
    assert shown["carbon"]["g_per_kwh"] == 536.6
    assert shown["set_by"] is None, "who set it is the operators' business"
    assert world.get("/energy", "system").json()["facts"]["set_by"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"pue": {"value": 0.99, **ORIGIN}}, "pue.value"),
        ({"pue": {"value": 1e300, **ORIGIN}}, "pue.value"),
        ({"pue": {"value": 1.2, "source": "", "as_of": "2026-01-01"}}, "pue.source"),
        ({"pue": {"value": 1.2, "source": "x", "as_of": "2026-02-30"}}, "pue.as_of"),
        ({"tariff": {"kind": "flat", **ORIGIN}}, "tariff.yuan_per_kwh"),
        ({"tariff": {"kind": "flat", "yuan_per_kwh": "-1", **ORIGIN}}, "tariff.yuan_per_kwh"),
        ({"tariff": {"kind": "time_of_use", "periods": [], **ORIGIN}}, "tariff.periods"),
        ({"tariff": {"kind": "time_of_use", "zone": "Mars/Base", "periods": [], **ORIGIN}}, "tariff.zone"),
        (
            {
                "tariff": {
                    "kind": "time_of_use",
                    "periods": [{"name": "x", "yuan_per_kwh": "1", "hours": [24]}],
                    **ORIGIN,
                }
            },
            "tariff.periods[0].hours",
        ),
        (
            {"tariff": {"kind": "flat", "yuan_per_kwh": "1", "holidays": ["2026-10-01"], **ORIGIN}},
            "tariff.holidays",
        ),
        (
            {"tariff": {"kind": "time_of_use", "periods": [ALWAYS], "working_days": ["soon"], **ORIGIN}},
            "tariff.working_days[0]",
        ),
        ({"carbon": {"kind": "constant", "g_per_kwh": -0.1, **ORIGIN}}, "carbon.g_per_kwh"),
        ({"carbon": {"kind": "hourly", "series": "nowhere", **ORIGIN}}, "carbon.series"),
        ({"core": {"watts": 5000, **ORIGIN}}, "core.watts"),
        ({"valid_from": "1970-01-01T00:00:00Z"}, "valid_from"),
        ({"valid_from": "soon"}, "valid_from"),
        ({"pue": None}, "pue"),
        ({"wue": 1}, "wue"),
    ],
)
def test_what_cannot_be_true_is_named_and_nothing_is_set(
    world: World, changed: dict[str, Any], field: str
) -> None:
    before = world.get("/energy/facts").json()["items"]
    answer = world.post("/energy/facts", "system", json=FACTS | changed)
    assert answer.status_code == 422, answer.text
    assert field in [problem["field"] for problem in answer.json()["problems"]]
    assert world.get("/energy/facts").json()["items"] == before


def test_everything_that_is_wrong_is_told_at_once(world: World) -> None:
    rest = {"name": "rest", "yuan_per_kwh": "cheap", "days": "holidays"}
    calendar = {"holidays": ["2026-10-01..2026-09-01", "2026-10-01"], "working_days": ["2026-10-01"]}
    wrong = {
        "pue": {"value": 7, "source": "", "as_of": "yesterday"},
        "tariff": {"kind": "time_of_use", "zone": "Mars/Base", "periods": [rest], **calendar, **ORIGIN},
        "carbon": {"kind": "constant", "source": "x", "as_of": "2026-01-01"},
        "core": {"watts": -1, **ORIGIN},
        "valid_from": "soon",
    }
    answer = world.post("/energy/facts", "system", json=wrong)
    assert answer.status_code == 422
    assert sorted(problem["field"] for problem in answer.json()["problems"]) == [
        "carbon.g_per_kwh", "core.watts", "pue.as_of", "pue.source", "pue.value", "tariff.holidays[0]", "tariff.periods",
        "tariff.periods[0].yuan_per_kwh", "tariff.working_days", "tariff.working_days", "tariff.zone", "valid_from",
    ]  # fmt: skip
    for part, field in (({"kind": "hourly"}, "series"), ({"kind": "flat"}, "yuan_per_kwh")):
        answer = world.post(
            "/energy/facts", "system", json={"pue": {"value": 7, **ORIGIN}, "tariff": {**part, **ORIGIN}}
        )
        fields = [problem["field"] for problem in answer.json()["problems"]]
        assert fields.count(f"tariff.{field}") == 1, fields
        assert "pue.value" in fields


def test_a_tariff_with_holidays_is_shown_as_it_can_be_set_again(world: World) -> None:
    rest = {"name": "rest", "yuan_per_kwh": "0.2", "days": "holidays", "hours": [11, 12]}
    calendar = {"holidays": ["2026-10-01..2026-10-03", "2026-09-25"], "working_days": ["2026-09-20"]}
    tariff = {"kind": "time_of_use", "periods": [ALWAYS, rest], **calendar, **ORIGIN}
    made = world.post("/energy/facts", "system", json=FACTS | {"tariff": tariff})
    assert made.status_code == 201, made.text
    shown = world.get("/energy", "viewer").json()["facts"]["tariff"]
    assert shown["holidays"] == ["2026-10-01", "2026-10-02", "2026-10-03", "2026-09-25"]
    assert shown["working_days"] == ["2026-09-20"]
    again = world.post("/energy/facts", "system", json=FACTS | {"tariff": shown})
    assert again.status_code == 201, again.text
    assert again.json()["tariff"] == shown


def test_a_series_is_imported_read_and_used(world: World) -> None:
    csv = "time,g_per_kwh\n" + "".join(f"2026-01-01T{hour:02d}:00Z,{hour}.5\n" for hour in range(24))
    body = {"name": "grid", "kind": "carbon", "csv": csv, "source": "center", "as_of": "2026-01-02"}
    made = world.post("/energy/series", "system", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["added"] == 24
    assert world.post("/energy/series", "system", json=body).json()["added"] == 0
    query = {"from": "2026-01-01T03:00:00Z", "until": "2026-01-01T05:00:00Z"}
    found = world.get("/energy/series/grid/hours", "viewer", params=query).json()
    assert [(one["start"][:13], one["value"]) for one in found["items"]] == [
        ("2026-01-01T03", 3.5),
        ("2026-01-01T04", 4.5),
    ]
    assert found["unit"] == "g_per_kwh"
    changed = body | {"csv": "time,g_per_kwh\n2026-01-01T04:00Z,9\n"}
    assert world.post("/energy/series", "system", json=changed).status_code == 409
    bad = world.post("/energy/series", "system", json=body | {"csv": csv + "2026-01-02T00:30Z,1\n"})
    assert bad.json()["problems"][0]["line"] == 26
    far = world.get("/energy/series/grid/hours", params={"from": "2000-01-01T00:00:00Z"})
    assert far.status_code == 422
    assert world.get("/energy/series/none/hours").status_code == 404
    facts = FACTS | {"carbon": {"kind": "hourly", "series": "grid", **ORIGIN}}
    assert (
        world.post("/energy/facts", "system", json=facts).json()["carbon"]["series"]
        == made.json()["series"]["id"]
    )


def test_a_file_of_many_hours_fits_into_one_request(world: World) -> None:
    """More than the text of any other field."""
    first = datetime(2020, 1, 1, tzinfo=UTC)
    rows = [f"{first + timedelta(hours=hour):%Y-%m-%dT%H}:00Z,500" for hour in range(8760)]
    csv = "\n".join(["time,g_per_kwh", *rows])
    assert len(csv) > 150_000
    body = {
        "name": "long",
        "kind": "carbon",
        "csv": csv,
        "source": "center",
        "as_of": "2026-01-02",
    }
    answer = world.post("/energy/series", "system", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["added"] == 8760


def test_a_job_its_cost_the_statement_and_the_invoice_tell_the_same(world: World) -> None:
    assert world.post("/energy/facts", "system", json=FACTS).status_code == 201
    job = world.submit(simulate="100s")
    world.until(job, "succeeded")
    world.step()
    cost = world.get(f"/jobs/{job}/cost").json()["energy"]
    alone = world.get(f"/energy/jobs/{job}").json()
    assert alone["energy"] == cost
    assert alone["attempts"][0]["basis"] == "cores"
    assert cost["facility_kwh"] == pytest.approx(1.25 * cost["it_kwh"], abs=2e-6)
    lines = world.get("/orgs/acme/statement").json()["items"]
    of_cores = [line["energy"] for line in lines if line["use"] and line["use"]["resource"] == "cpu"]
    assert sum(one["it_kwh"] for one in of_cores) == pytest.approx(cost["it_kwh"], abs=1e-5)
    assert all(
        line["energy"] is None for line in lines if line["use"] is None or line["use"]["resource"] == "memory"
    )
    month = lines[0]["use"]["month"]
    invoice = world.get(f"/orgs/acme/invoices/{month}", params={"draft": "true"}).json()
    assert invoice["energy"]["it_kwh"] == pytest.approx(cost["it_kwh"], abs=1e-5)
    assert world.get(f"/energy/jobs/{job}", "stranger").status_code == 404


def test_presets_speak_the_readers_language(world: World) -> None:
    english = world.get("/energy/presets").json()
    chinese = world.get("/energy/presets", headers={"accept-language": "zh-CN"}).json()
    assert english["carbon"][0]["title"] == "China, national mean 2022"
    assert chinese["carbon"][0]["title"] == "全国平均 2022"
    for hours in english["tariff_hours"]:
        tariff = {"kind": "time_of_use", "zone": hours["zone"], "periods": hours["periods"], **ORIGIN}
        assert world.post("/energy/facts", "system", json=FACTS | {"tariff": tariff}).status_code == 201
