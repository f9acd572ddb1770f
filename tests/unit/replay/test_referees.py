"""Schedules of real traces before the outside judges, where PEARL_SHARED says where traces and judges are.

The folder holds data/traces (muri, philly, openb) and referee (jobs.py, openb.py); without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.cli.simulate import write_all
from pearlstreet.compute.replay.cases import Case
from pearlstreet.compute.replay.clusters import Cluster, read_cluster
from pearlstreet.compute.replay.compare import Comparison, compare
from pearlstreet.compute.replay.reading.registry import read_trace
from pearlstreet.compute.replay.reading.rows import Findings
from pearlstreet.compute.scheduling.config import PlannerConfig

SHARED = os.environ.get("PEARL_SHARED", "")
pytestmark = pytest.mark.skipif(
    not (Path(SHARED or "/nowhere") / "referee").is_dir(),
    reason="no traces and judges: set PEARL_SHARED to the folder that holds data/traces and referee",
)
TRACES, JUDGES = Path(SHARED) / "data" / "traces", Path(SHARED) / "referee"
FIFO = PlannerConfig(order="fifo", backfill="greedy", preemption="priority")


def cluster_of(file: str) -> Cluster:
    with (TRACES / file).open(encoding="utf-8") as lines:
        return read_cluster(lines, file)


def played(folder: Path, trace: Path, cases: Sequence[Case]) -> tuple[Comparison, list[Path]]:
    with trace.open(encoding="utf-8") as lines:
        jobs = read_trace(lines, Findings(trace.name), per_node=cases[0].cluster.per_node)
    comparison, outcomes = compare(trace.name, jobs, cases)
    return comparison, write_all(folder, comparison, outcomes)[2:]


def judged(judge: str, *arguments: object) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, str(JUDGES / judge), "judge", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def part_of(folder: Path, file: str, rows: int) -> Path:
    """The first rows of a trace: enough to judge, soon over."""
    part = folder / "part.csv"
    with (TRACES / file).open(encoding="utf-8") as lines:
        part.write_text("".join(islice(lines, rows + 1)), encoding="utf-8")
    return part


@pytest.mark.parametrize("config", [FIFO, PlannerConfig()], ids=["fifo", "default"])
def test_the_muri_trace(tmp_path: Path, config: PlannerConfig) -> None:
    comparison, files = played(
        tmp_path, TRACES / "muri/trace3.csv", [Case("x", cluster_of("muri/cluster_8x8.csv"), config)]
    )
    found = judged(
        "jobs.py",
        "--trace",
        TRACES / "muri/trace3.csv",
        "--cluster",
        TRACES / "muri/cluster_8x8.csv",
        "--schedule",
        files[0],
    )
    ours = comparison.cases[0].measures
    assert found["verdict"] == "PASS"
    assert found["avg_jct"] == pytest.approx(ours.times.avg_jct_s, abs=0.1)
    assert found["p99_queue"] == pytest.approx(ours.times.p99_queue_s, abs=0.1)
    assert found["utilisation"] == pytest.approx(ours.utilisation_cards, abs=1e-4)


def philly(tmp_path: Path, trace: Path) -> None:
    cluster = cluster_of("philly/cluster_2017-10.csv")
    cases = [Case(how, cluster, FIFO, sharing=how) for how in ("isolated", "pool", "guaranteed")]
    comparison, files = played(tmp_path, trace, cases)
    measures = {case.case.name: case.measures for case in comparison.cases}
    for case, file in zip(cases, files, strict=True):
        merge = [] if case.sharing == "isolated" else ["--merge-vcs"]
        found = judged(
            "jobs.py",
            *merge,
            "--trace",
            trace,
            "--cluster",
            TRACES / "philly/cluster_2017-10.csv",
            "--schedule",
            file,
        )
        assert found["verdict"] == "PASS", case.name
        assert found["avg_queue"] == pytest.approx(measures[case.name].times.avg_queue_s, abs=0.1)
    alone, shared = measures["isolated"].by_org, measures["guaranteed"].by_org
    assert {org for org in alone if shared[org].avg_queue_s > alone[org].avg_queue_s} == set(), (
        "lending costs nobody"
    )
    assert measures["guaranteed"].times.avg_queue_s <= 2 * max(measures["pool"].times.avg_queue_s, 1)


def test_philly_alone_in_one_pool_and_with_guarantees(tmp_path: Path) -> None:
    philly(tmp_path, part_of(tmp_path, "philly/philly_2017-10.csv", 1500))


@pytest.mark.slow
def test_all_of_philly(tmp_path: Path) -> None:
    philly(tmp_path, TRACES / "philly/philly_2017-10.csv")


def test_openb_pods_that_stay(tmp_path: Path) -> None:
    nodes, pods = TRACES / "openb/openb_node_list_gpu_node.csv", TRACES / "openb/openb_pod_list_default.csv"
    sequence, part = tmp_path / "sequence.csv", tmp_path / "part.csv"
    asked = ["--nodes", str(nodes), "--pods", str(pods)]
    subprocess.run(
        [sys.executable, str(JUDGES / "openb.py"), "sequence", *asked, "--out", str(sequence)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    with sequence.open(encoding="utf-8") as lines:
        part.write_text("".join(islice(lines, 501)), encoding="utf-8")
    _, files = played(tmp_path, part, [Case("x", cluster_of("openb/openb_node_list_gpu_node.csv"), FIFO)])
    found = judged("openb.py", *asked, "--sequence", part, "--decisions", files[0])
    assert (found["verdict"], found["placed"]) == ("PASS", 500)
