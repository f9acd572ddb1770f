"""Incidents as all interfaces show them: one table of fields gives JSON, terminal table and console table."""

from __future__ import annotations

import pytest

from pearlstreet.api.routes.incidents import IncidentOut
from pearlstreet.base.table_fields import fields_json
from pearlstreet.cli.output import field_table
from pearlstreet.tenancy.incident_fields import INCIDENT_FIELDS
from pearlstreet.tenancy.incidents import Incident

FOUND = Incident("starts", "job_1", 5, True, "no room", 1_769_846_400_000_000)


def test_the_fields_are_those_of_the_api() -> None:
    shown = fields_json(INCIDENT_FIELDS, FOUND)
    assert set(shown) == set(IncidentOut.model_fields)
    assert (shown["at"], shown["given_up"]) == ("2026-01-31T08:00:00.000000Z", True)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ["State", "given_up", "Last time (UTC)"]), ("zh_CN", ["状态", "已停止重试", "最近一次 (UTC)"])],
)
def test_the_terminal_shows_them_in_the_reader_s_language(
    language: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PEARL_LANG", language)
    monkeypatch.setenv("COLUMNS", "200")
    field_table(INCIDENT_FIELDS, [fields_json(INCIDENT_FIELDS, FOUND)])
    shown = capsys.readouterr().out
    for word in [*words, "starts", "job_1", "no room", "2026-01-31 08:00:00"]:
        assert word in shown


def test_a_job_s_row_links_to_its_page() -> None:
    row = next(one for one in INCIDENT_FIELDS if one.name == "row")
    assert row.page(FOUND) == "/jobs/job_1"
    assert row.page({"row": "2026-01"}) == ""
