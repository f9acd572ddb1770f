"""A Python environment as a value: its digest, the command that builds it, what it adds to a job's variables. Pure.

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

from pearlstreet.compute.jobs.environments.requirements import requirement_lines
from pearlstreet.compute.jobs.spec.model import Environment

LOCK = "requirements.lock"
VENV = "venv"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_FORMAT = 1
"""Part of the digest: raise it when the way of building changes what is built."""


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What is installed, in a canonical order: two tenants' wishes that mean the same have one digest."""

    python: str
    packages: tuple[str, ...]
    """Sorted lines of requirements."""
    wheels_only: bool = True
    platform: str = "linux-x86_64"

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form."""
        canonical = json.dumps({"format": _FORMAT, **self.to_json()}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """A plain form; `from_json` reads it back."""
        return {
            "python": self.python,
            "packages": list(self.packages),
            "wheels_only": self.wheels_only,
            "platform": self.platform,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnvironmentSpec:
        """What `to_json` wrote."""
        return EnvironmentSpec(
            python=str(value["python"]),
            packages=tuple(str(one) for one in value["packages"]),
            wheels_only=bool(value["wheels_only"]),
            platform=str(value["platform"]),
        )


def own_python() -> str:
    """The version the center itself runs on, `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def own_platform() -> str:
    """`linux-x86_64`."""
    return f"{sys.platform}-{running.machine().lower()}"


def environment_of(
    wanted: Environment | None, *, python: str | None = None, platform: str | None = None
) -> EnvironmentSpec | None:
    """The environment a job asks for; None when nothing is to be built (no environment, or an image).

    `python`, `platform`: those of the machine that builds; by default this one's.
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
    """A command that leaves the environment in `target_dir`. Its variables choose mirrors (UV_INDEX_URL, …).

    `target_dir` and `cache_dir` exist and are writable. The lock names no index. Python is found, never downloaded.
    """
    uv = f"{shlex.quote(str(uv_path))} --no-config --no-python-downloads --cache-dir {shlex.quote(str(cache_dir))}"
    venv = shlex.quote(str(target_dir / VENV))
    lock = shlex.quote(str(target_dir / LOCK))
    wheels = "--only-binary :all:" if spec.wheels_only else ""
    wanted = " ".join(shlex.quote(line) for line in spec.packages) or "''"
    # Written on one pipe: the work folder need not be writable, and nothing is left behind.
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
    """Variables that put an environment built in `target_dir` first for a command."""
    venv = target_dir / VENV
    return {
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv}/bin:{SYSTEM_PATH}",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def lock_digest(lock: str) -> str:
    """SHA-256 (hex) of a lock's packages and hashes, whatever comments or blank lines surround them."""
    lines = [line.strip() for line in lock.splitlines()]
    kept = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(kept.encode()).hexdigest()


def build_order(specs: list[EnvironmentSpec]) -> list[EnvironmentSpec]:
    """Each environment once, smallest first: quick ones do not wait behind slow ones."""
    unique = {spec.digest(): spec for spec in specs}
    return sorted(unique.values(), key=lambda spec: (len(spec.packages), spec.digest()))
