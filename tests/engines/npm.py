"""Installs a package of this folder from npm, as its lock file says, into a cache folder shared by all test runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.engines_present import has_program, need


def installed(source: Path, files: Sequence[str], what: str) -> Path:
    """The cache folder with the package in it, named by what it holds. Skips when npm is absent or cannot install."""
    need(has_program("node") and has_program("npm"), "node with npm")
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pearlstreet-tests"
    folder = cache / f"{source.name}-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    building = cache / f"{source.name}-{digest}.{os.getpid()}"
    building.mkdir()
    for name in files:
        shutil.copy(source / name, building / name)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=building,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(building)
        need(None, f"the npm package {what} ({done.stderr.strip()[-200:]})")
    try:
        building.rename(folder)
    except OSError:  # another test process was faster
        shutil.rmtree(building)
    return folder
