"""PURE: a Python environment as a value, with its digest, build command and run-time variables.

The build runs inside the sandbox under the tenant: resolve to a lock with hashes, make a relocatable virtual
environment, install exactly the lock. The result folder holds `requirements.lock` and `venv/`.
"""

from __future__ import annotations

import hashlib
import json
import platform as running
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pearlstreet.workload.environments.requirements import requirement_lines
from pearlstreet.workload.spec.model import Environment

LOCK = "requirements.lock"
VENV = "venv"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_FORMAT = 1
"""Format number in the digest; it must be raised when the build command produces something else."""


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """Contents of an environment in canonical order, so that equivalent requests have the same digest."""

    python: str
    packages: tuple[str, ...]
    """Lines of requirements, sorted."""
    wheels_only: bool = True
    platform: str = "linux-x86_64"

    def digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of the canonical form."""
        canonical = json.dumps({"format": _FORMAT, **self.to_json()}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """Return the stored form, which `from_json` reads."""
        return {
            "python": self.python,
            "packages": list(self.packages),
            "wheels_only": self.wheels_only,
            "platform": self.platform,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnvironmentSpec:
        """Read the form that `to_json` wrote."""
        return EnvironmentSpec(
            python=str(value["python"]),
            packages=tuple(str(one) for one in value["packages"]),
            wheels_only=bool(value["wheels_only"]),
            platform=str(value["platform"]),
        )


def own_python() -> str:
    """Return the Python version of the center itself, such as `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def own_platform() -> str:
    """Return the platform of the center, such as `linux-x86_64`."""
    return f"{sys.platform}-{running.machine().lower()}"


def environment_of(
    wanted: Environment | None, *, python: str | None = None, platform: str | None = None
) -> EnvironmentSpec | None:
    """Return the environment that a job requests; None if nothing must be built (no environment, or an image).

    `python`, `platform`: those of the node that builds it; by default those of this machine.
    """
    if wanted is None or wanted.image is not None:
        return None
    lines = {*wanted.packages, *(line for _, line in requirement_lines(wanted.requirements))}
    return EnvironmentSpec(
        python=wanted.python or python or own_python(),
        packages=tuple(sorted((" ".join(line.split()) for line in lines), key=_order)),
        wheels_only=wanted.wheels_only,
        platform=platform or own_platform(),
    )


def _order(line: str) -> tuple[str, str]:
    name = line
    for stop in " <>=!~;[":
        name = name.split(stop)[0]
    return canonicalize_name(name), line


def build_command(spec: EnvironmentSpec, target_dir: Path, cache_dir: Path, uv_path: Path) -> tuple[str, ...]:
    """Return a command that builds the environment in `target_dir`; environment variables select mirrors (UV_INDEX_URL, …).

    `target_dir` and `cache_dir` must exist and be writable. The lock names no index. Python must be installed; it is never
    downloaded.
    """
    uv = f"{shlex.quote(str(uv_path))} --no-config --no-python-downloads --cache-dir {shlex.quote(str(cache_dir))}"
    venv = shlex.quote(str(target_dir / VENV))
    lock = shlex.quote(str(target_dir / LOCK))
    wheels = "--only-binary :all:" if spec.wheels_only else ""
    wanted = " ".join(shlex.quote(line) for line in spec.packages) or "''"
    # The requirements are piped in, so the work folder need not be writable and no file is left behind.
    script = [
        "set -eu",
        "umask 022",
        f"printf '%s\\n' {wanted} | {uv} pip compile - -o {lock} --python {spec.python} --quiet --generate-hashes"
        f" --no-header --no-annotate --no-emit-index-url --no-emit-find-links {wheels}".rstrip(),
        f"{uv} venv {venv} --python {spec.python} --relocatable --quiet --clear",
        f"{uv} pip sync {lock} --python {venv}/bin/python --require-hashes --compile-bytecode"
        f" --allow-empty-requirements {wheels}".rstrip(),
    ]
    return ("/bin/sh", "-c", "\n".join(script))


def run_variables(target_dir: Path) -> dict[str, str]:
    """Return the environment variables that activate an environment built in `target_dir`."""
    venv = target_dir / VENV
    return {
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv}/bin:{SYSTEM_PATH}",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def lock_digest(lock: str) -> str:
    """Return the SHA-256 (hexadecimal) of a lock's packages and hashes, ignoring comments and blank lines."""
    lines = [line.strip() for line in lock.splitlines()]
    kept = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(kept.encode()).hexdigest()


def build_order(specs: list[EnvironmentSpec]) -> list[EnvironmentSpec]:
    """Return each environment once, smallest first, so that quick builds do not wait for slow ones."""
    unique = {spec.digest(): spec for spec in specs}
    return sorted(unique.values(), key=lambda spec: (len(spec.packages), spec.digest()))
