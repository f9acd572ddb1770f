"""`pearl simulate` without a server, and `pearl trace export` with one; the round trip between them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.center import Pearl, until

TRACE = "job,vc,submit,duration,gpus\n" + "".join(
    f"j{i},{'red' if i % 3 else 'blue'},{i * 5},{40 + i * 13 % 50},{(1, 2, 4, 8)[i % 4]}\n" for i in range(40)
)
PARTS = "vc,nodes,gpus_per_node\nred,2,8\nblue,1,8\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    trace, cluster = tmp_path / "trace.csv", tmp_path / "cluster.csv"
    trace.write_text(TRACE)
    cluster.write_text(PARTS)
    return trace, cluster


@pytest.fixture
def pearl(tmp_path: Path) -> Pearl:
    """`pearl` that knows no center."""
    return Pearl(
        {"PEARL_URL": "http://127.0.0.1:9", "PEARL_CONFIG": str(tmp_path / "none.toml"), "PEARL_LANG": "en"}
    )


def decided(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def test_several_policies_side_by_side_in_all_forms(
    pearl: Pearl, files: tuple[Path, Path], tmp_path: Path
) -> None:
    trace, cluster = files
    out = tmp_path / "out"
    asked = ("--policy", "fifo,backfill=strict,preemption=none", "--policy", "name=all,order=fifo,share=pool")
    shown = pearl.right("simulate", str(trace), "--cluster", str(cluster), *asked, "--out", str(out))
    assert "Average JCT" in shown.out
    assert "blue" in shown.out
    found = json.loads((out / "comparison.json").read_text())
    strict, pool = found["cases"]
    assert (strict["sharing"], pool["sharing"], pool["name"]) == ("isolated", "pool", "all")
    assert strict["measures"]["times"]["jobs"] == pool["measures"]["times"]["jobs"] == 40
    assert pool["measures"]["times"]["avg_queue_s"] <= strict["measures"]["times"]["avg_queue_s"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    rows = decided(out / "schedule-1-fifo_backfill_strict_preemption_none.csv")
    assert len({row["job"] for row in rows}) == 40
    assert {row["placement"].split("/")[0] for row in rows} == {"red", "blue"}
    merged = decided(out / "schedule-2-all.csv")
    assert {row["placement"].split("/")[0] for row in merged} == {"all"}
    again = ("simulate", str(trace), "--cluster", str(cluster), *asked, "--json")
    assert pearl.right(*again).value == found
    assert pearl.right(*again, "--processes", "2").value == found, "side by side or one by one"


def test_a_cluster_in_one_line_and_its_words_in_chinese(pearl: Pearl, files: tuple[Path, Path]) -> None:
    small = pearl.right(
        "simulate", str(files[0]), "--cluster", "1x8xH100-80G", "--cluster", "4x8xH100-80G", "--json"
    )
    one, four = small.value["cases"]
    assert one["measures"]["times"]["avg_queue_s"] > four["measures"]["times"]["avg_queue_s"]
    assert "@ 4x8xH100-80G" in four["name"]
    shown = pearl.right("simulate", str(files[0]), "--cluster", "1x8xH100-80G", PEARL_LANG="zh-CN")
    assert "平均完成时间" in shown.out


def test_limits_queues_windows_and_fewer_machines_beside_how_it_is(
    pearl: Pearl, files: tuple[Path, Path]
) -> None:
    supposed = ("--quota", "red:cards,maximum=8", "--queue", "late,rank=9", "--less", "1x8xH100-80G")
    supposed += ("--window", "maintenance,nodes=h100-0001,from=60s,for=5m")
    found = pearl.right("simulate", str(files[0]), "--cluster", "3x8xH100-80G", *supposed, "--json").value
    assert [case["cluster"]["cards"] for case in found["cases"]] == [24, 24, 16, 16]
    waits = [case["measures"]["times"]["avg_queue_s"] for case in found["cases"]]
    assert waits[0] < waits[1] < waits[3]
    assert waits[0] < waits[2]
    assert found["cases"][0]["config"]["queues"] == []
    assert found["cases"][1]["config"]["queues"][0]["rank"] == 9
    assert "red:cards,maximum=8" in found["cases"][1]["name"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cluster", "/nowhere/c.csv"), "no file"),
        (("--cluster", "1x8xH100-80G", "--less", "2x8xH100-80G"), "there is 1 such node"),
        (("--cluster", "1x8xH100-80G", "--quota", "green:cards,maximum=1"), "no account green"),
        (("--cluster", "1x8xH100-80G", "--queue", "late"), "Say how it is set"),
        (("--cluster", "1x8xH100-80G", "--window", "maintenance,nodes=n1"), "no node n1"),
        (("--cluster", "4x8xWarpDrive"), "no accelerator called"),
        (("--cluster", "1x8xH100-80G", "--policy", "order=alphabet"), "no order policy named alphabet"),
        (("--cluster", "1x8xH100-80G", "--policy", "fifo,speed=9"), "no setting named speed"),
        (("--cluster", "1x8xH100-80G", "--policy", "fifo,grace_s=-3"), "not a number from 0 on"),
        (("--cluster", "1x8xH100-80G", "--share", "isolated"), "no part for blue, red"),
        (("--cluster", "1x8xH100-80G", "--share", "always"), "no way to share named always"),
        (("--cluster", "1x8xH100-80G", "--restart-cost", "4"), "two numbers"),
        (("--cluster", "1x8xH100-80G", "--format", "excel"), "no format named excel"),
    ],
)
def test_what_is_wrong_is_said(
    pearl: Pearl, files: tuple[Path, Path], arguments: tuple[str, ...], said: str
) -> None:
    answer = pearl("simulate", str(files[0]), *arguments)
    assert answer.code == 1
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_bad_rows_are_named_and_can_be_skipped(pearl: Pearl, files: tuple[Path, Path]) -> None:
    trace = files[0]
    trace.write_text(TRACE + "bad,red,-4,1,1\n")
    answer = pearl("simulate", str(trace), "--cluster", "4x8xH100-80G")
    assert answer.code == 1
    assert f"{trace}:42" in answer.err.replace("\n", "")
    skipped = pearl.right("simulate", str(trace), "--cluster", "4x8xH100-80G", "--skip-bad", "--json")
    assert "1 of 41 rows" in skipped.err
    assert skipped.value["jobs"] == 40
    trace.write_bytes(b"job,vc,submit,duration,gpus\n\xff\xfe,a,1,1,1\n")
    assert "UTF-8" in pearl("simulate", str(trace), "--cluster", "4x8xH100-80G").err


def test_the_history_of_a_center_replayed_on_the_center_itself(ada: Pearl, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text('{name: short, command: ["true"], simulate: 1s, per_task: {cpus: 1, memory_gib: 1}}')
    jobs = [ada.right("run", str(job), "--json").value["id"] for _ in range(3)]
    until(lambda: all(ada.right("job", job, "--json").value["state"] == "succeeded" for job in jobs))
    lines, table = tmp_path / "history.jsonl", tmp_path / "history.csv"
    ada.right("trace", "export", "--out", str(lines))
    ada.right("trace", "export", "--out", str(table))
    printed = ada.right("trace", "export").out
    assert printed == lines.read_text()
    assert set(jobs) <= {json.loads(line)["job"] for line in printed.splitlines()}
    found = [
        ada.right("simulate", str(file), "--cluster", "center", "--policy", "fifo", "--json").value
        for file in (lines, table)
    ]
    assert found[0]["cases"][0]["measures"] == found[1]["cases"][0]["measures"]
    assert found[0]["cases"][0]["measures"]["times"]["jobs"] == len(printed.splitlines())
    assert found[0]["cases"][0]["cluster"]["cards"] == 32


def test_the_simulator_begins_at_fresh_seeds_and_says_which(pearl: Pearl) -> None:
    first, second, known = (
        json.loads(pearl("sim", "run", "--seeds", "0", "--workers", "1", "--json", *given).out)["first"]
        for given in ((), (), ("--first", "27"))
    )
    assert first != second
    assert known == 27
