"""`pearl estimate` with no center anywhere."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.center import Pearl

HEAD = "accel_count,global_batch,micro_batch,hidden,heads,layers,seq_len,tp,dp,pp,accelerator,iteration_ms\n"
GOOD = "8,32,2,2048,16,24,1024,1,8,1,a100-sxm-80g,303.7\n"
BAD = "8,32,-2,2048,16,24,1024,1,8,1,a100-sxm-80g,303.7\n"


@pytest.fixture
def pearl(tmp_path: Path) -> Pearl:
    """`pearl` that knows no center."""
    return Pearl(
        {"PEARL_URL": "http://127.0.0.1:9", "PEARL_CONFIG": str(tmp_path / "none.toml"), "PEARL_LANG": "en"}
    )


def test_a_file_becomes_predictions(pearl: Pearl, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs.csv", tmp_path / "predictions.csv"
    runs.write_text(HEAD + GOOD + GOOD)
    pearl.right("estimate", "file", str(runs), "--out", str(out))
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["id"], row["metric"]) for row in rows] == [("0", "iteration_ms"), ("1", "iteration_ms")]
    assert 200 < float(rows[0]["pred"]) < 450


def test_a_bad_row_is_named_and_the_others_are_written_unless_strict(pearl: Pearl, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs.csv", tmp_path / "predictions.csv"
    runs.write_text(HEAD + GOOD + BAD)
    refused = pearl("estimate", "file", str(runs), "--out", str(out), "--strict")
    assert refused.code != 0
    assert not out.exists()
    partly = pearl("estimate", "file", str(runs), "--out", str(out))
    assert partly.code == 0
    assert "line 3, micro_batch" in partly.err
    assert len(out.read_text().splitlines()) == 2


def test_a_file_without_a_readable_row_fails(pearl: Pearl, tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    runs.write_text(HEAD + BAD)
    refused = pearl("estimate", "file", str(runs))
    assert refused.code != 0
    assert "micro_batch" in refused.err


def test_one_question_is_answered_as_a_table_and_as_json(pearl: Pearl) -> None:
    asked = ("estimate", "train", "-m", "Llama 3.1 8B", "-a", "H100-80G", "-n", "8", "--tokens", "1B")
    shown = pearl.right(*asked)
    assert "Device-hours" in shown.out
    assert "Micro-batch" in shown.out
    found = pearl.right(*asked, "--json").value
    assert found["device_s"]["p10"] < found["device_s"]["median"] < found["device_s"]["p90"]
    assert found["layouts"][0]["fits"] is True
    served = pearl.right("estimate", "serve", "-m", "Llama 3.1 8B", "-a", "H100-80G", "--json").value
    assert served["output_tokens_per_s"]["median"] > 500


def test_slips_are_explained(pearl: Pearl, tmp_path: Path) -> None:
    wrong = pearl("estimate", "train", "-m", "Llama 9000", "-a", "H1000", "--tokens", "1B")
    assert wrong.code != 0
    assert "Llama 9000" in wrong.err
    assert "H1000" in wrong.err
    assert "Traceback" not in wrong.err
    absent = pearl("estimate", "file", str(tmp_path / "absent.csv"))
    assert "absent.csv" in absent.err
    assert absent.code != 0
