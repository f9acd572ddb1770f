"""`make bench` runs every benchmark it is given and ends in one table, whatever happens on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "benchmarks"
RECORDS = """
import sys
sys.path.insert(0, {folder!r})
from results_table import record
import tests.property.naive_planner  # a peer from the tests can be imported
record("reads", 25.0, "ms", "at most", 50)
record("replay", 3.0, "jobs/s", "event loop", 3000)
"""


def test_the_table_has_every_figure_although_a_benchmark_failed(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "good.py").write_text(RECORDS.format(folder=str(FOLDER)))
    files = [str(tmp_path / "broken.py"), str(tmp_path / "good.py")]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run_all.py"), *files], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "failed: broken.py" in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-3:]]
    assert rows == [
        ["name", "figure", "peer", "or", "bound", "ratio"],
        ["reads", "25", "ms", "at", "most", "50", "ms", "0.50"],
        ["replay", "3", "jobs/s", "event", "loop", "3,000", "jobs/s", "0.001"],
    ]


def test_every_benchmark_has_a_small_size() -> None:
    """`.ci/run` runs all of them with PEARL_BENCH_SMOKE=1."""
    shared = {"center.py", "elastic_trace.py", "results_table.py", "run_all.py"}
    for file in sorted(FOLDER.glob("*.py")):
        content = file.read_text(encoding="utf-8")
        if file.name not in shared:
            assert "PEARL_BENCH_SMOKE" in content or "from center import" in content, file.name
            assert "record(" in content, file.name
