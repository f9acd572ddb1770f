"""Refit the constants of compute/estimate: `PEARL_ESTIMATE_DATA=folder python scripts/fit_estimate.py`.

The folder holds training_runs.csv, iteration_times.csv, inference_runs.csv and memory_points.csv with what was observed.
Constants are fitted to all rows, bands to rows left out five times by their group. About two minutes on one core.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from pearlstreet.compute.estimate import measured
from pearlstreet.compute.estimate.constants import dump
from pearlstreet.compute.hardware.catalogue import catalogue

VARIABLE = "PEARL_ESTIMATE_DATA"
TARGET = Path(__file__).parent.parent / "src/pearlstreet/compute/estimate/constants.toml"


def main() -> int:
    """Fit, check, write."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        sys.stderr.write(f"Set {VARIABLE} to the folder that holds {', '.join(measured.FILES)}\n")
        return 2
    contents = [(Path(folder) / name).read_bytes() for name in measured.FILES]
    rows = measured.evidence(contents, catalogue())
    left = measured.cross_validate(rows)
    print_ = sys.stdout.write
    print_(f"rows: {len(rows.runs)} runs, {len(rows.steps)} steps, {len(rows.servings)} serving, ")
    print_(f"{len(rows.memories)} memory\n")
    source = {
        "rows": "published runs collected with source and revision in the columns source_title and source_locator",
        "counts": f"{len(rows.runs)} training runs, {len(rows.steps)} steps, {len(rows.servings)} serving runs, "
        f"{len(rows.memories)} memory points",
        "digest": hashlib.sha256(b"".join(contents)).hexdigest()[:16],
        "how": "scripts/fit_estimate.py: damped Gauss-Newton within priors, partial pooling of factors, bands from five "
        "folds by group",
    }
    TARGET.write_text(dump(measured.fit_all(rows, left, source)), encoding="utf-8")
    print_(f"written {TARGET}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
