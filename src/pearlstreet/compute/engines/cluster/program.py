"""Puts the program of the nodes into the shared folder: the modules of this tree that it needs, and no package beside Python."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pearlstreet

MODULES = (
    "base/clock.py",
    "base/durations.py",
    "base/errors.py",
    "base/locale_folder.py",
    "base/outcome.py",
    "base/text.py",
    "base/translations.py",
    "base/units.py",
    "compute/engines/cluster/exchange/client.py",
    "compute/engines/cluster/exchange/node.py",
    "compute/engines/cluster/exchange/upload.py",
    "compute/engines/cluster/node_folders.py",
    "compute/engines/cluster/node_program.py",
    "compute/engines/cluster/order_json.py",
    "compute/engines/local/bubblewrap.py",
    "compute/engines/local/checkpoints.py",
    "compute/engines/local/clearing.py",
    "compute/engines/local/detect.py",
    "compute/engines/local/devices.py",
    "compute/engines/local/folders.py",
    "compute/engines/local/hostcgroups.py",
    "compute/engines/local/images.py",
    "compute/engines/local/launching.py",
    "compute/engines/local/mps.py",
    "compute/engines/local/plan.py",
    "compute/engines/local/policy.py",
    "compute/engines/local/seccomp.py",
    "compute/engines/local/variables.py",
    "compute/engines/orders.py",
    "compute/engines/placing.py",
    "compute/engines/protocol.py",
    "compute/engines/services.py",
    "compute/engines/shells.py",
    "compute/engines/staging/model.py",
    "compute/hardware/catalogue/accelerator.py",
    "compute/hardware/catalogue/mig.py",
    "compute/hardware/isolation.py",
    "compute/hardware/model.py",
    "compute/hardware/sharing.py",
    "objects/model.py",
    "workload/environments/images.py",
)
"""Modules that the program imports; tests start it with these alone."""
FOLDERS = ("compute/engines/local/supervisor", "compute/engines/staging/runner")
ENTRY = "run.py"
START = """\
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pearlstreet.compute.engines.cluster.node_program import main
sys.exit(main(sys.argv))
"""


def install_program(shared: Path) -> Path:
    """Write the program beneath `shared`, unless this version is there, and return its entry file. Raises OSError."""
    source = Path(pearlstreet.__file__).parent
    files = {f"pearlstreet/{name}": (source / name).read_bytes() for name in _names(source)}
    files[ENTRY] = START.encode()
    digest = hashlib.blake2b(repr(sorted(files.items())).encode(), digest_size=8).hexdigest()
    final = shared / "program" / digest
    if not (final / ENTRY).exists():
        final.parent.mkdir(exist_ok=True)
        final.parent.chmod(0o755)  # whatever the server's umask
        partial = final.with_name(f".{digest}.{os.getpid()}")
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.write_bytes(content)
        for path in [partial, *partial.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            partial.rename(final)
        except OSError:
            shutil.rmtree(partial)
            if not (final / ENTRY).exists():
                raise
    return final / ENTRY


def _names(source: Path) -> list[str]:
    inner = [path for folder in FOLDERS for path in sorted((source / folder).glob("*.py"))]
    return [*MODULES, *(str(path.relative_to(source)) for path in inner)]
