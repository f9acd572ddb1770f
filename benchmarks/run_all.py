"""Runs benchmarks one after another, then prints one table of all their figures: `python benchmarks/run_all.py [FILE...]`.

A benchmark that fails does not keep the others from running; the exit status is 1 then. With PEARL_BENCH_SMOKE=1 each
runs in a small size: that shows that it runs, and its figures are not to be quoted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
from results_table import VARIABLE, format_table, read_rows  # noqa: E402

NO_BENCHMARKS = ("center.py", "elastic_trace.py", "results_table.py", "run_all.py")
"""What the benchmarks share, a generator of traces, and this program."""


def main() -> int:
    """Run the files that are named, else all."""
    files = [Path(name) for name in sys.argv[1:]] or [
        file for file in sorted(FOLDER.glob("*.py")) if file.name not in NO_BENCHMARKS
    ]
    failed = []
    with tempfile.NamedTemporaryFile(prefix="pearl-bench-table-") as table:
        path = os.pathsep.join(filter(None, (str(FOLDER.parent), os.environ.get("PYTHONPATH"))))
        for file in files:
            print(f"== {file.name}", flush=True)
            environment = {**os.environ, VARIABLE: table.name, "PYTHONPATH": path}
            if subprocess.run([sys.executable, file], env=environment, check=False).returncode:
                failed.append(file.name)
        print("\n" + format_table(read_rows(Path(table.name))))
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
