"""The CPU: matrix products through NumPy's BLAS, bf16 and int8 through torch where it is installed, and memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pearlstreet.base.clock import Clock
from pearlstreet.compute.hardware.bench.result import Measurement
from pearlstreet.compute.hardware.bench.timing import timed

BLOCK_ELEMENTS = 32 << 10
"""256 KiB of doubles: the intermediate of the triad stays in the second-level cache."""
LEAST_ARRAY_BYTES = 128 << 20
CACHE_MULTIPLE = 4
"""STREAM's rule: arrays at least four times the last-level cache."""
SHARE_OF_MEMORY = 0.06
"""Share of the machine's memory for each of the three arrays."""
MOST_ARRAY_BYTES = 512 << 20
"""Filling more takes longer than the measurement; three such arrays exceed every cache but a few servers'."""
_SIZES = (512, 1024, 2048, 4096)
_TRIES = 5
"""Products that timing one size takes at least."""
_NUMPY = "numpy.matmul"


def measure(clock: Clock, budget_s: float, threads: int, memory_bytes: int) -> Iterator[Measurement]:
    """Yield GEMM in fp32 and fp64 (bf16 and int8 with torch), then memory bandwidth."""
    end_s = clock.monotonic_s() + budget_s
    with_torch = importlib.util.find_spec("torch") is not None
    yield _gemm(np.float32, "fp32", clock, budget_s / (5 if with_torch else 3))
    yield _gemm(np.float64, "fp64", clock, budget_s / (5 if with_torch else 3))
    if with_torch:
        yield from _torch_gemms(clock, budget_s / 5, threads)
    yield triad(clock, end_s - clock.monotonic_s(), threads, array_bytes(memory_bytes))


def _gemm(kind: type[np.float32 | np.float64], precision: str, clock: Clock, budget_s: float) -> Measurement:
    """Return the best of several sizes, as far as they fit into the time."""
    random = np.random.default_rng(1)
    best = Measurement("gemm", precision, 0.0, 0, 0, 0.0, _NUMPY)
    end_s = clock.monotonic_s() + budget_s
    once_s = 0.0
    for size in _SIZES:
        if once_s * 8 > end_s - clock.monotonic_s():
            break
        left, right = random.random((size, size), dtype=kind), random.random((size, size), dtype=kind)
        product = partial(_repeat, np.matmul, left, right, out=np.empty_like(left))
        begun_s = clock.monotonic_s()
        product(1)
        once_s = clock.monotonic_s() - begun_s
        if best.value and once_s * _TRIES > end_s - clock.monotonic_s():
            break
        took = timed(product, clock, budget_s / len(_SIZES))
        rate = 2 * size**3 / took.median_s / 1e12
        if rate > best.value:
            best = Measurement("gemm", precision, rate, size, took.repeats, took.spread, _NUMPY)
    return best


def _repeat(product: Any, left: Any, right: Any, count: int, **options: Any) -> None:
    for _ in range(count):
        product(left, right, **options)


def _torch_gemms(clock: Clock, budget_s: float, threads: int) -> Iterator[Measurement]:
    import torch  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(threads)
    size = 1024
    wide = torch.randn(size, size)
    pairs: list[tuple[str, object, object, str]] = [("bf16", wide.bfloat16(), torch.matmul, "torch.matmul")]
    if hasattr(torch, "_int_mm"):
        small = torch.randint(-128, 127, (size, size), dtype=torch.int8)
        pairs.append(("int8", small, torch._int_mm, "torch._int_mm"))
    for precision, matrix, product, method in pairs:
        took = timed(partial(_repeat, product, matrix, matrix), clock, budget_s)
        rate = 2 * size**3 / took.median_s / 1e12
        yield Measurement("gemm", precision, rate, size, took.repeats, took.spread, method)


def triad(clock: Clock, budget_s: float, threads: int, array_size_bytes: int) -> Measurement:
    """Return the bandwidth of STREAM's triad `a = b + 3 c` over arrays far larger than the caches, all threads at once.

    Counts 24 bytes an element as STREAM does: two reads and a write; the read that a write causes is left out.
    """
    count = array_size_bytes // 8
    a, b, c = np.full(count, 0.0), np.full(count, 1.0), np.full(count, 2.0)
    bounds = np.linspace(0, count, threads + 1, dtype=np.int64).tolist()
    with ThreadPoolExecutor(threads) as pool:

        def once(repeats: int) -> None:
            for _ in range(repeats):
                list(pool.map(partial(_triad, a, b, c), bounds[:-1], bounds[1:]))

        took = timed(once, clock, budget_s)
    rate = 24 * count / took.median_s / 1e9
    return Measurement("memory", "", rate, array_size_bytes, took.repeats, took.spread, "STREAM triad, NumPy")


def _triad(a: Any, b: Any, c: Any, start: int, stop: int) -> None:
    scratch = np.empty(BLOCK_ELEMENTS)
    for low in range(start, stop, BLOCK_ELEMENTS):
        high = min(low + BLOCK_ELEMENTS, stop)
        part = scratch[: high - low]
        np.multiply(c[low:high], 3.0, out=part)
        np.add(part, b[low:high], out=a[low:high])


def array_bytes(memory_bytes: int) -> int:
    """Bytes of one triad array: four times the last-level cache within 128 and 512 MiB, at most 6 % of memory."""
    wanted = min(MOST_ARRAY_BYTES, max(LEAST_ARRAY_BYTES, CACHE_MULTIPLE * last_level_cache_bytes()))
    return max(1 << 20, min(wanted, int(memory_bytes * SHARE_OF_MEMORY)))


def last_level_cache_bytes(root: str = "/sys/devices/system/cpu/cpu0/cache") -> int:
    """Return the largest cache that the kernel tells of; 0 when it tells of none."""
    sizes = [0]
    for file in Path(root).glob("index*/size"):
        written = file.read_text().strip().upper()
        if written[:-1].isdecimal() and written[-1] in "KM":
            sizes.append(int(written[:-1]) << {"K": 10, "M": 20}[written[-1]])
    return max(sizes)
