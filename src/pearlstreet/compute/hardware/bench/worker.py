"""The process that measures one target and writes a JSON line for each figure.

A process of its own, because BLAS fixes its thread count when it is loaded, a CUDA context is freed only with its
process, and a measurement that hangs can then be ended.

    python -m pearlstreet.compute.hardware.bench.worker cpu  BUDGET_S THREADS MEMORY_BYTES
    python -m pearlstreet.compute.hardware.bench.worker cuda BUDGET_S INDEX
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from pearlstreet.base.clock import SystemClock
from pearlstreet.compute.hardware.bench import cpu, cuda
from pearlstreet.compute.hardware.bench.result import Measurement

BUSY_SHARE = 0.5
"""Load average of the last minute for each CPU above which the CPU's figures mean little."""


def main(arguments: list[str]) -> int:
    """Measure and write; 0 also when something could not be measured, with a `notice` line that says so."""
    kind, budget_s, rest = arguments[0], float(arguments[1]), [int(word) for word in arguments[2:]]
    _write({"versions": _versions()})
    if kind == "cpu":
        _write_busy(threads=rest[0])
        _write_all(cpu.measure(SystemClock(), budget_s, threads=rest[0], memory_bytes=rest[1]))
        return 0
    libraries = cuda.load()
    if libraries is None:
        _write(
            {
                "notice": "cuBLAS and the CUDA runtime were not found: install the CUDA toolkit or nvidia-cublas"
            }
        )
        return 0
    try:
        _write_all(cuda.measure(libraries, rest[0], SystemClock(), budget_s))
    except cuda.CudaError as error:
        _write({"notice": f"not measured: {error}"})
    return 0


def _write_busy(threads: int) -> None:
    """Say so when others use the CPUs: BLAS threads that wait for each other then lose far more than their share."""
    load = os.getloadavg()[0]
    if load > BUSY_SHARE * threads:
        _write(
            {"notice": f"the machine was busy (load {load:.1f} on {threads} CPUs): its figures are too low"}
        )


def _write_all(found: Iterable[Measurement | str]) -> None:
    for item in found:
        _write({"notice": item} if isinstance(item, str) else {"measurement": asdict(item)})


def _write(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _versions() -> dict[str, str]:
    build = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {}) if isinstance(build, dict) else {}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', '')} {blas.get('version', '')}".strip(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
