"""The demo on a cluster: one command from nothing to a gang on two nodes of a real Slurm, and nothing is left after its stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.app import demo_cluster, virtual_cluster
from pearlstreet.base.text import text
from tests.engines.slurm_cluster import free_ports, need_slurm

pytestmark = pytest.mark.slow


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pearlstreet.app", "demo", "--cluster", "--data", str(folder), *words]
    environment = {**os.environ, "COLUMNS": "200", "PEARL_LANG": "en"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    need_slurm()
    yield tmp_path / "demo"
    demo(tmp_path / "demo", "--stop")


def test_one_command_trains_on_two_nodes_and_its_stop_leaves_nothing(folder: Path) -> None:
    done = demo(folder, "--port", str(free_ports(1)[0]))
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "Slurm runs 8 virtual nodes with 8 pretended h100-sxm-80g each" in done.stderr
    assert "rank 0 of 2 on hpc:n" in done.stdout
    assert "End of the log of rank 1" in done.stdout
    placed = next(line for line in done.stdout.splitlines() if line.startswith("Placed on"))
    assert placed.count("hpc:n") == 2
    assert "Accelerator H100-SXM-80G" in done.stdout
    cluster = virtual_cluster.read_cluster(folder)
    assert cluster is not None

    stopped = demo(folder, "--stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not cluster.folder.exists()
    assert virtual_cluster.read_cluster(folder) is None
    assert not any(virtual_cluster.is_alive(process) for process in cluster.processes)


def test_without_slurm_it_says_what_to_install_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = (
        text("Parts of Slurm are not installed: {parts}", parts="slurmctld"),
        text("Install them: {command}", command="x"),
    )
    monkeypatch.setattr(demo_cluster, "missing_part", lambda: missing)
    demo_cluster.run_demo_cluster(tmp_path / "demo", 7421)
    said = capsys.readouterr().err
    assert "skipped" in said
    assert "slurmctld" in said
    assert not (tmp_path / "demo").exists()


def test_a_state_file_of_another_boot_names_no_process_of_ours(tmp_path: Path) -> None:
    process = {"name": "munged", "pid": os.getpid(), "start_ticks": 1, "boot_id": "another"}
    state = {
        "folder": str(tmp_path / "cluster"),
        "rest": "",
        "user": "games",
        "isolation": "none",
        "processes": [process],
    }
    (tmp_path / "cluster.json").write_text(json.dumps(state))
    assert virtual_cluster.read_cluster(tmp_path) is None
    assert virtual_cluster.stop_cluster(tmp_path)
