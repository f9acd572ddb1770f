"""The runner as one file, for nodes that do not see the center's packages: `python3 stager.pyz FOLDER`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

RUNNER = Path(__file__).parent / "runner"
_MAIN = "import sys\nfrom runner.entry import run\nrun(sys.argv[1])\n"


def runner_bundle() -> bytes:
    """Return a zip archive that Python runs; it needs nothing but the standard library of Python 3.11 or newer."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(RUNNER.glob("*.py")):
            archive.writestr(_entry(f"runner/{path.name}"), path.read_bytes())
        archive.writestr(_entry("__main__.py"), _MAIN)
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a member with a fixed date, so that equal sources give equal bundles."""
    return zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
