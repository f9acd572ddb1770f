"""Energy facts, hours and jobs by the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.center import Center, Pearl, until

ORIGIN = ("--source", "contract", "--as-of", "2026-01-01")


def test_facts_are_set_step_by_step_and_shown(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    assert "not known" in ada.right("energy", "show").err
    assert system("energy", "set", "--price", "0.7", *ORIGIN).code != 0
    system.right("energy", "set", "--pue", "1.3", *ORIGIN)
    system.right("energy", "set", "--carbon-preset", "cn-2022")
    lacking = system("energy", "set", "--tariff-hours", "cn-shanghai", "--period-price", "peak=1.1", *ORIGIN)
    assert "flat, valley" in lacking.err
    bands = [part for price in ("peak=1.1", "flat=0.7", "valley=0.3") for part in ("--period-price", price)]
    system.right("energy", "set", "--tariff-hours", "cn-shanghai", *bands, *ORIGIN, "--note", "all known")
    shown = ada.right("energy", "show").out
    assert "536.6 g CO2e/kWh" in shown
    assert "8-10, 18-20" in shown
    assert "每天" in ada.right("energy", "show", PEARL_LANG="zh-CN").out
    found = ada.right("energy", "show", "--json").value["facts"]
    assert (found["number"], found["pue"]["value"], found["note"]) == (3, 1.3, "all known")
    assert [row["number"] for row in ada.right("energy", "history", "--json").value] == [3, 2, 1]
    assert "all known" in ada.right("energy", "history").out
    refused = system("energy", "set", "--pue", "0.9", *ORIGIN)
    assert "A PUE is from 1 to 5" in refused.err


def test_holidays_are_named_and_stay_with_other_hours(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    system.right("energy", "set", "--pue", "1.3", "--price", "0.5", *ORIGIN)
    assert "Only a tariff by month, day and hour" in system("energy", "set", "--holidays", "2026-10-01").err
    bands = [part for price in ("peak=1.1", "flat=0.7", "valley=0.3") for part in ("--period-price", price)]
    hours = ("energy", "set", "--tariff-hours", "cn-shanghai", *bands, *ORIGIN)
    system.right(*hours, "--holidays", "2026-10-01..2026-10-07, 2026-01-01", "--working-days", "2026-10-10")
    shown = ada.right("energy", "show").out
    assert "2026-01-01, 2026-10-01..2026-10-07" in shown
    assert "法定节假日" in ada.right("energy", "show", PEARL_LANG="zh-CN").out
    system.right(*hours)
    system.right("energy", "set", "--working-days", "")
    tariff = ada.right("energy", "show", "--json").value["facts"]["tariff"]
    assert len(tariff["holidays"]) == 8
    assert tariff["working_days"] == []
    assert tariff["source"] == "contract"
    assert "neither a day" in system("energy", "set", "--holidays", "2026-10-32").err


def test_a_large_file_is_imported_in_parts_and_errors_keep_their_lines(
    center: Center, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pearlstreet.cli.energy as energy

    system = center.as_("system")
    lines = [
        f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}T{hour:02d}:00Z,{hour}"
        for day in range(100)
        for hour in range(24)
    ]
    monkeypatch.setattr(energy, "PART_BYTES", 20_000)
    parts = list(energy._parts("\n".join(["time,g_per_kwh", *lines])))
    assert len(parts) > 2
    assert all(part.startswith("time,g_per_kwh\n") for part in parts)
    assert [line for part in parts for line in part.splitlines()[1:] if line] == lines
    whole = ["time,g_per_kwh", *lines]
    for part in parts:
        for number, line in enumerate(part.splitlines()):
            assert not line or line == whole[number], "a line stands where it stood"
    file = tmp_path / "grid.csv"
    file.write_text("\n".join(whole), encoding="utf-8")
    wanted = ("energy", "import", str(file), "--name", "grid", "--kind", "carbon")
    system.right(*wanted, *ORIGIN)
    assert system.right(*wanted, "--json").value["added"] == 0
    file.write_text("time,g_per_kwh\n2026-01-01T00:00Z,0\nnever,1\n", encoding="utf-8")
    assert "never is not a time" in system(*wanted).err
    assert "2400" in system.right("energy", "show").out


def test_a_job_shows_what_it_used(center: Center, ada: Pearl) -> None:
    center.as_("system").right("energy", "set", "--pue", "1.3", "--carbon", "500", *ORIGIN)
    job = ada.right("run", "-a", "H100", "-n", "8", "-t", "10m", "--json", "--", "python", "x.py").value["id"]
    until(lambda: ada.right("job", job, "--json").value["state"] == "running")
    found = ada.right("energy", "job", job, "--json").value
    assert found["attempts"][0]["model"] == "h100-sxm-80g"
    assert "Energy of the facility" in ada.right("energy", "job", job).out
    assert "kg CO2e" in ada.right("job", job).out
    ada.right("cancel", job)
