"""Policy, queues, maintenance, reservations and decisions by the commands."""

from __future__ import annotations

from tests.cli.center import Center, Pearl, until


def test_the_policy_is_set_looked_up_and_rolled_back(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    before = system.right("policy", "show", "--json").value
    made = system.right("policy", "set", "order=fifo", "min-run-s=30", "--note", "exam week", "--json").value
    assert made["settings"]["order"] == "fifo"
    assert made["settings"]["min_run_s"] == 30
    assert "fifo" in ada.right("policy", "show").out
    assert ada.right("policy", "show", "--json").value["made_by"] is None, "tenants need not know who"
    newest = center.as_("audit").right("policy", "history", "--json").rows[0]
    assert (newest["number"], newest["note"]) == (made["number"], "exam week")
    assert newest["changed"]["order"] == [before["settings"]["order"], "fifo"]
    assert "exam week" in system.right("policy", "history").out
    wrong = system("policy", "set", "order=fifi", "dept=4")
    assert wrong.code != 0
    assert "fifo" in wrong.err
    assert "depth" in wrong.err
    assert ada("policy", "set", "order=fifo").code != 0
    system.right("policy", "rollback", str(before["number"]), "--yes")
    assert system.right("policy", "show", "--json").value["settings"] == before["settings"]


def test_a_queue_is_set_up_used_and_removed(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    system.right(
        "queues", "set", "urgent", "order=fifo", "--rank", "-5", "--title", "Papers", "--allow", "acme"
    )
    row = next(one for one in ada.right("queues", "list", "--json").rows if one["name"] == "urgent")
    assert (row["rank"], row["settings"], row["title"]) == (-5, {"order": "fifo"}, "Papers")
    job = ada.right("run", "--json", "--queue", "urgent", "--", "true").value["id"]
    assert ada.right("job", job, "--json").value["queue"] == "urgent"
    wrong = ada("run", "--queue", "urgnet", "--", "true")
    assert wrong.code != 0
    assert "urgent" in wrong.err
    system.right("queues", "set", "urgent", "order=", "--allow-all")
    row = next(one for one in system.right("queues", "list", "--json").rows if one["name"] == "urgent")
    assert (row["settings"], row["allowed"]) == ({}, [])
    system.right("queues", "remove", "urgent", "--yes")
    assert [one["name"] for one in ada.right("queues", "list", "--json").rows] == ["default"]
    ada.right("cancel", job)


def test_maintenance_and_reservations_are_set_up_and_ended(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    later, end = "2999-01-01T00:00:00Z", "2100-01-02T00:00:00Z"
    assert (
        "too far ahead"
        in system(
            "windows",
            "maintain",
            "h100-0001",
            "--from",
            later,
            "--until",
            "2999-01-02T00:00:00Z",
            "--reason",
            "x",
        ).err
    )
    assert system("windows", "maintain", "h100-0001", "--until", end, "--reason", "fans").code != 0, (
        "too long"
    )
    soon = _in_a_day(system)
    made = system.right(
        "windows", "maintain", "h100-0001", "--until", soon, "--reason", "fans", "--json"
    ).value
    assert "fans" in ada.right("windows", "list").out
    held = system.right(
        "windows",
        "reserve",
        "acme",
        "--model",
        "H100",
        "--cards",
        "4",
        "--until",
        soon,
        "--reason",
        "course",
        "--json",
    ).value
    assert held["cards"] == 4
    assert {one["id"] for one in ada.right("windows", "list", "--json").rows} == {made["id"], held["id"]}
    for window in (made["id"], held["id"]):
        system.right("windows", "end", window, "--yes")
    assert ada.right("windows", "list", "--json").rows == []
    assert len(ada.right("windows", "list", "--over", "--json").rows) == 2


def _in_a_day(pearl: Pearl) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_decision_is_listed_shown_and_planned_again(center: Center, ada: Pearl) -> None:
    job = ada.right("run", "-t", "5m", "--json", "--", "true").value["id"]
    until(lambda: ada.right("job", job, "--json").value["state"] == "running")
    system = center.as_("system")
    rows = until(lambda: system.right("decisions", "list", "--json").rows)
    assert rows[0]["placed"] >= 1
    assert rows[0]["id"] in center.as_("audit").right("decisions", "list").out
    assert "identical" in system.right("decisions", "replay", rows[0]["id"]).err
    assert system.right("decisions", "show", rows[0]["id"]).value["plan"]["placements"]
    assert ada("decisions", "list").code != 0
    ada.right("cancel", job)
