"""Nodes, quotas, shares and jobs on a simulated center, by the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.center import Center, Pearl, until


def test_nodes_show_what_there_is(ada: Pearl) -> None:
    found = ada.right("nodes", "--json").value
    assert found["capacity"]["cards"] == 32
    shown = ada.right("nodes").out
    assert "8×h100-sxm-80g" in shown
    assert "h100-0001" in ada.right("nodes", "--devices").out
    assert "h100-sxm-80g" in ada.right("accelerators", "H100").out


def test_a_drained_node_gets_no_work(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    system.right("nodes", "drain", "h100-0001", "--reason", "fan", "--yes")
    assert "fan" in ada.right("nodes").err
    assert "drained" in ada.right("nodes").out
    system.right("nodes", "undrain", "h100-0001")
    assert "drained" not in ada.right("nodes").out


def test_health_rules_of_a_node_are_switched_and_a_burn_in_needs_an_organisation(
    center: Center, ada: Pearl
) -> None:
    system = center.as_("system")
    try:
        shown = system.right("nodes", "health", "h100-0001", "--no-rules")
        assert "h100-0001: health rules only warn" in shown.err
        (row,) = system.right("nodes", "health", "h100-0001", "--json").value
        assert (row["health"]["automatic"], row["health"]["level"]) == (False, "ok")
    finally:
        system.right("nodes", "health", "h100-0001", "--rules")
    assert "no node gpu-99" in system("nodes", "health", "gpu-99").err
    assert system("nodes", "health", "--rules").code != 0, "which node, it must say"
    refused = system("bench", "node", "--all")
    assert refused.code != 0
    assert "organisation" in refused.err
    assert ada("bench", "node", "h100-0001").code != 0


def test_quotas_and_shares(center: Center, ada: Pearl) -> None:
    system = center.as_("system")
    system.right("quotas", "set", "cards", "--org", "acme", "--maximum", "8")
    quota = ada.right("quotas", "list", "--json").rows[0]
    assert (quota["resource"], quota["maximum"]) == ("cards", 8.0)
    assert quota["id"] in ada.right("quotas", "list", COLUMNS="60").out, "an id is never broken"
    system.right("quotas", "delete", quota["id"], "--yes")
    assert ada.right("quotas", "list", "--json").rows == []
    system.right("shares", "set", "2", "--org", "acme")
    assert system.right("shares", "list", "--json").rows[0]["weight"] == 2.0
    system.right("shares", "delete", "--org", "acme")
    assert "half_life_s" in system.right("fair-share", "--json").value
    assert system.right("fair-share").code == 0


def test_a_gang_runs_is_explained_and_cancelled(ada: Pearl) -> None:
    made = ada.right(
        "run", "-a", "H100", "-n", "8", "--tasks", "2", "-t", "10m", "--json", "--", "python", "x.py"
    )
    job = made.value["id"]
    assert made.value["name"] == "x"
    until(lambda: ada.right("job", job, "--json").value["state"] == "running")
    assert "2 nodes" in ada.right("why", job).out
    here = ada.right("why", job, "--json").value["here"]
    assert (here["tasks"], len(here["nodes"]), here["backfilled"], here["position"]) == (2, 2, False, 1)
    assert job in ada.right("jobs", COLUMNS="80").out, "an id is never broken"
    assert "2 个任务" in ada.right("why", job, PEARL_LANG="zh-CN").out
    ada.right("cancel", job)
    until(lambda: ada.right("job", job, "--json").value["state"] == "cancelled")
    cancelled = ada.right("jobs", "-s", "cancelled", "--json").rows
    assert job in [row["id"] for row in cancelled] and {row["state"] for row in cancelled} == {"cancelled"}


def test_why_there_tells_the_nodes_that_came_next(ada: Pearl) -> None:
    jobs = []
    for count in ("3", "2"):
        made = ada.right("run", "-a", "H100", "-n", count, "-t", "9m", "--json", "--", "a").value
        jobs.append(made["id"])
        until(lambda: ada.right("job", jobs[-1], "--json").value["state"] == "running")
    try:
        here = ada.right("why", jobs[1], "--json").value["here"]
        others = [one["node"] for one in here["chosen"]["alternatives"]]
        assert others
        assert not {*others} & {*here["nodes"]}
        shown = ada.right("why", jobs[1], COLUMNS="120").out
        assert "Instead of (expected-fill" in shown
        assert others[0] in shown
        assert "未选原因" in ada.right("why", jobs[1], PEARL_LANG="zh-CN").out
    finally:
        ada.right("cancel", *jobs)
        for job in jobs:
            until(lambda job=job: ada.right("job", job, "--json").value["state"] == "cancelled")


def test_what_does_not_fit_waits_with_a_reason(ada: Pearl) -> None:
    first = ada.right("run", "-a", "H100", "-n", "8", "--tasks", "4", "-t", "9m", "--json", "--", "a").value
    second = ada.right("run", "-a", "H100", "-n", "1", "-t", "9m", "--json", "--", "b").value
    try:
        why = until(lambda: (found := ada.right("why", second["id"], "--json").value)["position"] and found)
        assert why["position"] == 1
        assert "1 × H100 on one node" in why["sentence"]
        first_line, *others = ada.right("why", second["id"], COLUMNS="400").out.splitlines()
        assert "1 × H100 on one node" in first_line
        assert all(line.strip() not in first_line for line in others), "nothing is said twice"
    finally:
        ada.right("cancel", first["id"], second["id"])


def test_arrays_show_how_far_they_are(ada: Pearl, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "name: sweep\ncommand: [python, x.py]\narray: {size: 3, max_running: 2}\nsimulate: 1s\ntime_limit: 5m\n"
        'variables: {SIMULATE_EXIT_CODE: "0"}\n'
    )
    answer = ada("run", str(tmp_path / "sweep.yaml"), "--follow")
    assert answer.code == 0, answer
    assert "elements: 3 (" in answer.err and "for each while it runs" in answer.err
    assert "sweep[3/3]" in ada.right("jobs").out
    (tmp_path / "long.yaml").write_text("command: x\narray: {size: 3}\nsimulate: 1h\ntime_limit: 2h\n")
    array = ada.right("run", str(tmp_path / "long.yaml"), "--json").value["id"]
    assert "Price per hour of each element" in ada.right("job", array).out
    told = " ".join(ada.right("cancel", array).err.split())
    assert f"Elements of {array}: cancelled" in told or f"{array} is over; cancelled elements: 3" in told


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["run", "-"], "command: [python", "cannot be read"),
        (["run", "-"], "comand: python x\n", "Did you mean command?"),
        (["run", "absent.yaml"], "", "absent.yaml cannot be read: No such file"),
        (["run", "-f", "/absent", "--", "ls"], "", "/absent does not exist"),
        (["run", "-e", "NOTHING", "--", "ls"], "", "NOTHING is not NAME=VALUE"),
        (["run", "--", ""], "", "The command is empty"),
        (["run", "-a", "H100", "-n", "9", "--", "x"], "", "could never run"),
        (["job", "job_x"], "", "There is no job job_x"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_kept(
    ada: Pearl, arguments: list[str], stdin: str, words: str
) -> None:
    before = len(ada.right("jobs", "--json").rows)
    answer = ada(*arguments, stdin=stdin)
    assert answer.code in (1, 2)
    assert words in answer.err
    assert len(ada.right("jobs", "--json").rows) == before


def test_the_center_makes_a_backup_itself(center: Center) -> None:
    system = center.as_("system")
    made = system.right("backups", "make", "--json").value
    assert (center.data / "backups" / made["name"]).stat().st_size == made["size_bytes"]
    assert [row["name"] for row in system.right("backups", "list", "--json").rows] == [made["name"]]


def test_what_the_center_fails_on_is_listed_and_tried_again(center: Center) -> None:
    system = center.as_("system")
    assert system.right("incidents", "list", "--json").rows == []
    assert "0 rows are being retried" in system.right("incidents", "retry").err
    assert center.as_("audit")("incidents", "retry").code != 0


def test_what_another_policy_would_have_done(center: Center, ada: Pearl, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "command: x\nsimulate: 5s\ntime_limit: 10m\nper_task: {accelerator: H100, count: 1}\n"
    )
    job = ada.right("run", str(tmp_path / "job.yaml"), "--json").value["id"]
    until(lambda: ada.right("job", job, "--json").value["state"] == "succeeded")
    asked = ("what-if", "ask", "--days", "1", "--policy", "fifo", "--extra", "1x8xH100-80G")
    found = ada.right(*asked, "--json").value
    assert found["state"] == "done", found
    assert [case["cards"] for case in found["result"]["cases"]] == [32, 32, 40, 40]
    shown = ada.right("what-if", "show", found["id"], COLUMNS="80").out
    assert "(2) fifo" in shown
    assert "Average time in queue" in " ".join(shown.split())
    assert "Replayed against actual" in " ".join(shown.split())
    same = ada.right("what-if", "ask", "--days", "1", "--policy", "name=twin", COLUMNS="200").out
    assert "Nothing differs" in same
    assert found["id"] in ada.right("what-if", "list").out
    windows = ("--window", "maintenance,nodes=h100-0001,for=1h", "--quota", "acme:cards,maximum=8")
    held = ada.right("what-if", "ask", "--less", "h100-0002", *windows, "--json").value
    assert [case["cards"] for case in held["result"]["cases"]] == [32, 32, 24, 24]
    assert "maintenance,nodes=h100-0001" in ada.right("what-if", "list").out.replace("\n", "")
    system = center.as_("system")
    assert "There is no order policy named nonsense" in system("what-if", "ask", "--policy", "nonsense").err


def test_engines_are_listed_shown_and_checked(center: Center, ada: Pearl) -> None:
    system, owner = center.as_("system"), ada
    (engine,) = system.right("engines", "--json").rows
    assert engine["name"] == "simulated" and engine["details"]["nodes"] > 0
    (seen,) = owner.right("engines", "--json").rows
    assert seen["details"] is None and "images" in seen["capabilities"]
    assert "simulated" in system.right("engines").out
    assert "Last inventory" in system.right("engine", "show", "simulated").out
    assert "Last inventory" not in owner.right("engine", "show", "simulated").out
    checked = system.right("engine", "check", "simulated", "--json").value
    assert checked["ok"] and {one["name"] for one in checked["checks"]} >= {"nodes", "faults"}
    assert owner("engine", "check", "simulated").code != 0
    assert system.right("nodes", "--engine", "nowhere", "--json").value["items"] == []
