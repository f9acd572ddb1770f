"""Real work on this machine: run, follow, logs, artefacts; and a backup of it all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with a_center(tmp_path_factory.mktemp("local")) as made:
        yield made


@pytest.fixture(scope="module")
def eve(here: Center) -> Pearl:
    return a_tenant(here, "lab", "eve")


SMALL = ("--cpus", "0.5", "--memory-gib", "0.25", "-t", "2m")


def test_following_shows_the_log_and_takes_the_jobs_exit_code(eve: Pearl) -> None:
    script = 'echo "hello from $WHO"; echo kept > $PEARL_OUTPUTS/a.txt; exit 3'
    answer = eve("run", *SMALL, "-e", "WHO=me", "-F", "--", "sh", "-c", script)
    assert answer.code == 3, answer
    assert answer.out == "hello from me\n"
    assert "failed" in answer.err


def test_a_folder_and_a_file_are_sent_and_results_fetched(eve: Pearl, tmp_path: Path) -> None:
    (tmp_path / "code" / "inner").mkdir(parents=True)
    (tmp_path / "code" / "inner" / "part.txt").write_text("of a folder\n")
    (tmp_path / "single.txt").write_text("single\n")
    (tmp_path / "job.yaml").write_text(
        "name: fetch\ncommand: cat code/inner/part.txt single.txt | tee $PEARL_OUTPUTS/both.txt\n"
        "files: [{source: code, path: code}, {source: single.txt, path: single.txt}]\n"
    )
    answer = eve.right("run", str(tmp_path / "job.yaml"), *SMALL, "--follow", "--json")
    ended = answer.out[answer.out.index("{") :]
    assert answer.out.startswith("of a folder\nsingle\n")
    job = eve.right("jobs", "--name", "fetch", "--json").rows[0]
    assert job["id"] in ended
    assert eve.right("logs", job["id"]).out == "of a folder\nsingle\n"
    eve.right("artefacts", job["id"], "--to", str(tmp_path / "got"))
    assert (tmp_path / "got" / "both.txt").read_text() == "of a folder\nsingle\n"
    shown = eve.right("job", job["id"])
    assert "both.txt" in shown.out
    assert "作业" in eve.right("job", job["id"], PEARL_LANG="zh-CN").out


def test_this_machine_is_measured(here: Center, eve: Pearl) -> None:
    assert (
        "not measured yet" in eve.right("nodes").out
        or eve.right("nodes", "--json").value["capacity"]["cards"]
    )
    answer = here.as_("system").right("bench", "node", "--budget-s", "2", "--json")
    assert answer.value["kept_as"].startswith("bench_")
    cpu = next(device for device in answer.value["devices"] if device["index"] is None)
    measured = {m["precision"]: m["value"] for m in cpu["measurements"] if m["what"] == "gemm"}
    shown = eve.right("nodes", "--json").value["capacity"]["cpu_pflops"]
    assert shown == pytest.approx((measured.get("fp32") or measured.get("fp64") or 0) / 1000)


def test_a_backup_of_a_running_center_is_proved_when_restored(
    here: Center, eve: Pearl, tmp_path: Path
) -> None:
    file, target = tmp_path / "center.tar.gz", tmp_path / "restored"
    eve.right("backup", str(file), "--data", str(here.data))
    refused = eve("restore", str(file), "--data", str(here.data), "--force", "--yes")
    assert (refused.code, "A center runs from" in refused.err) == (1, True)
    key = str(here.data / "secret.key")
    said = eve.right("restore", str(file), "--data", str(target), "--key-file", key).err
    assert "The books are proved" in said
    assert "is not empty" in eve("restore", str(file), "--data", str(target), "--key-file", key).err
    eve.right("restore", str(file), "--data", str(target), "--key-file", key, "--force", "--yes")
    assert [path.name for path in tmp_path.glob("restored.*")] == ["restored.before-restore-1"]


def test_what_is_no_backup_changes_nothing(eve: Pearl, tmp_path: Path) -> None:
    (tmp_path / "wrong.tar.gz").write_text("no archive")
    target = tmp_path / "target"
    assert "cannot be restored" in eve("restore", str(tmp_path / "wrong.tar.gz"), "--data", str(target)).err
    assert "does not exist" in eve("restore", str(tmp_path / "absent"), "--data", str(target)).err
    assert not target.exists() or not any(target.iterdir())
    shutil.rmtree(target, ignore_errors=True)
