"""Burn-in of a node: runs on the node inside a sandbox, with nothing but Python; writes burn_in.json to $PEARL_OUTPUTS.

Measures what every machine has (hashing on all cores, copying memory, writing and reading a file) and, where torch is
installed, products of matrices on each accelerator, whose results must be equal each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BLOCK_BYTES = 1 << 20
COPY_BYTES = 64 << 20
FILE_BLOCKS = 128
SIZE = 4096
"""Rows of the matrices of an accelerator."""


def measure_cpu(seconds: float) -> float:
    """Return GB/s of SHA-256 on all cores that the task may use."""
    block = bytes(BLOCK_BYTES)
    end = time.monotonic() + seconds

    def hash_blocks(_: int) -> int:
        done = 0
        while time.monotonic() < end:
            hashlib.sha256(block).digest()  # releases the GIL, so that threads use all cores
            done += 1
        return done

    cores = len(os.sched_getaffinity(0))
    begun = time.monotonic()
    with ThreadPoolExecutor(cores) as pool:
        total = sum(pool.map(hash_blocks, range(cores)))
    return total * BLOCK_BYTES / (time.monotonic() - begun) / 1e9


def measure_memory(seconds: float) -> float:
    """Return GB/s of copying, read and write counted once each, by one core."""
    source, target = memoryview(bytearray(COPY_BYTES)), memoryview(bytearray(COPY_BYTES))
    target[:] = source
    begun, copies = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        target[:] = source
        copies += 1
    return 2 * copies * COPY_BYTES / (time.monotonic() - begun) / 1e9


def measure_disk(folder: Path) -> tuple[float, float, str]:
    """Return GB/s of writing with a sync and of reading, and an error if the bytes read differ."""
    path, block = folder / "burn_in.tmp", os.urandom(BLOCK_BYTES)
    size = FILE_BLOCKS * BLOCK_BYTES
    begun = time.monotonic()
    with path.open("wb") as file:
        for _ in range(FILE_BLOCKS):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    write_s = time.monotonic() - begun
    problem = ""
    begun = time.monotonic()
    with path.open("rb") as file:
        while data := file.read(BLOCK_BYTES):
            if data != block:
                problem = "the disk returned other bytes than were written"
    read_s = time.monotonic() - begun
    path.unlink()
    return size / write_s / 1e9, size / read_s / 1e9, problem


def measure_accelerators(seconds: float) -> tuple[dict[str, float], list[str], str]:
    """Return TFLOPS by device, errors, and a notice if accelerators were not measured."""
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return {}, [], "accelerators were not measured: torch is not installed on the node"
    if not torch.cuda.is_available():
        return {}, [], "accelerators were not measured: torch sees none"
    figures: dict[str, float] = {}
    errors: list[str] = []
    for index in range(torch.cuda.device_count()):
        try:
            figures[f"device_{index}_tflops"] = _measure_device(torch, index, seconds)
        except (RuntimeError, ValueError) as error:
            errors.append(f"device {index}: {error}"[:300])
    return figures, errors, ""


def _measure_device(torch: Any, index: int, seconds: float) -> float:
    """Return TFLOPS in half precision. Raises ValueError if equal products differ."""
    device = torch.device("cuda", index)
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=torch.float16) for _ in range(2))
    first = left @ right
    torch.cuda.synchronize(device)
    begun, products = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        for _ in range(20):
            last = left @ right
        torch.cuda.synchronize(device)
        products += 20
    elapsed = time.monotonic() - begun
    if not torch.equal(first, last):
        raise ValueError("the same product of matrices gave different results")
    return 2 * SIZE**3 * products / elapsed / 1e12


def main() -> None:
    """Measure and write the result."""
    seconds = float(os.environ.get("PEARL_BURN_IN_S", "5"))
    figures = {"cpu_gb_per_s": measure_cpu(seconds), "memory_gb_per_s": measure_memory(seconds)}
    figures["disk_write_gb_per_s"], figures["disk_read_gb_per_s"], problem = measure_disk(Path.cwd())
    devices, errors, notice = measure_accelerators(seconds)
    result = {
        "format": 1,
        "figures": {name: round(value, 4) for name, value in (figures | devices).items()},
        "errors": ([problem] if problem else []) + errors,
        "notices": [notice] if notice else [],
    }
    (Path(os.environ["PEARL_OUTPUTS"]) / "burn_in.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
