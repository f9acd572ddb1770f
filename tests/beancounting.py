"""beancount's own checker, run as a program of its own: the project never loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def complaints(journal: Path) -> str:
    """What `bean-check` says of a journal; empty when it accepts it."""
    checker = Path(sys.executable).with_name("bean-check")
    done = subprocess.run([checker, "--no-cache", journal], capture_output=True, text=True, check=False)
    return (
        ""
        if done.returncode == 0
        else (done.stdout + done.stderr).strip() or f"exit status {done.returncode}"
    )
