"""The program that a cluster's nodes run: what it consists of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pearlstreet.compute.engines.cluster.program import install_program


def test_the_program_of_the_nodes_needs_nothing_but_python(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        entry = install_program(tmp_path)
    finally:
        os.umask(umask)
    assert entry.parent.parent.stat().st_mode & 0o777 == 0o755
    assert install_program(tmp_path) == entry
    script = f"import sys; sys.path.insert(0, {str(entry.parent)!r}); import pearlstreet.compute.engines.cluster.node_program as p; print(p.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.stdout.strip().startswith(str(entry.parent)), done.stderr
    assert entry.stat().st_mode & 0o777 == 0o644
