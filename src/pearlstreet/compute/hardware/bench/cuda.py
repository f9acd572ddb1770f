"""CUDA devices: matrix products through cuBLAS and copies in device memory, by ctypes, so that torch is not needed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pearlstreet.base.clock import Clock
from pearlstreet.compute.hardware.bench.result import Measurement
from pearlstreet.compute.hardware.bench.timing import timed

COPY_BYTES = 1 << 30
_H2D, _D2D = 1, 3
_MAJORS = (13, 12, 11)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One precision of cublasGemmEx: cudaDataType of inputs and output, cublasComputeType, bytes, scale's type."""

    precision: str
    inputs: int
    output: int
    compute: int
    input_bytes: int
    output_bytes: int
    scale: Any
    size: int


KINDS: tuple[_Kind, ...] = (
    _Kind("bf16", 14, 14, 68, 2, 2, ctypes.c_float, 8192),
    _Kind("fp16", 2, 2, 68, 2, 2, ctypes.c_float, 8192),
    _Kind("tf32", 0, 0, 77, 4, 4, ctypes.c_float, 8192),
    _Kind("int8", 3, 10, 72, 1, 4, ctypes.c_int32, 8192),
    _Kind("fp32", 0, 0, 68, 4, 4, ctypes.c_float, 4096),
    _Kind("fp64", 1, 1, 70, 8, 8, ctypes.c_double, 4096),
)
"""Precisions in order of importance, in case the time runs out. fp8 and fp4 need cublasLt with scales and are not measured."""


class CudaError(Exception):
    """A call that CUDA refused."""


@dataclass(frozen=True, slots=True)
class Cuda:
    """The two libraries."""

    runtime: Any
    blas: Any

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of either library. Raises CudaError unless it answers 0."""
        library = self.blas if name.startswith("cublas") else self.runtime
        code = getattr(library, name)(*arguments)
        if code != 0:
            raise CudaError(f"{name} answers {code}")


def load(folders: Sequence[str] | None = None) -> Cuda | None:
    """CUDA's runtime and cuBLAS of the same major version, from the system or NVIDIA's Python wheels; else None."""
    for major in _MAJORS:
        runtime = _library("cudart", "cuda_runtime", major, folders)
        blas = _library("cublas", "cublas", major, folders) if runtime is not None else None
        if runtime is not None and blas is not None:
            return Cuda(runtime, blas)
    return None


def _library(name: str, wheel: str, major: int, folders: Sequence[str] | None) -> object:
    file = f"lib{name}.so.{major}.0" if (name, major) == ("cudart", 11) else f"lib{name}.so.{major}"
    places = (
        folders
        if folders is not None
        else [
            "/usr/local/cuda/lib64",
            *(str(Path(entry) / "nvidia" / wheel / "lib") for entry in sys.path),
            *(str(Path(entry) / "nvidia" / f"cu{major}" / "lib") for entry in sys.path),
        ]
    )
    for path in (file, *(str(Path(place) / file) for place in places)):
        try:
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    return None


def measure(cuda: Cuda, index: int, clock: Clock, budget_s: float) -> Iterator[Measurement | str]:
    """Yield GEMM per precision, then memory bandwidth, of one device; a sentence for what could not be measured."""
    cuda.call("cudaSetDevice", index)
    share_s = budget_s / (len(KINDS) + 2)
    handle = ctypes.c_void_p()
    cuda.call("cublasCreate_v2", ctypes.byref(handle))
    try:
        for kind in KINDS:
            yield _or_reason(f"gemm {kind.precision}", partial(_gemm, cuda, handle, kind, clock, share_s))
    finally:
        cuda.call("cublasDestroy_v2", handle)
    yield _or_reason("memory bandwidth", partial(_copy, cuda, clock, share_s))


def _or_reason(what: str, work: Callable[[], Measurement]) -> Measurement | str:
    try:
        return work()
    except CudaError as error:
        return f"{what} not measured: {error}"


def _gemm(cuda: Cuda, handle: ctypes.c_void_p, kind: _Kind, clock: Clock, budget_s: float) -> Measurement:
    n = kind.size
    one, zero = kind.scale(1), kind.scale(0)
    buffers = [ctypes.c_void_p() for _ in range(3)]
    try:
        for buffer, width in zip(
            buffers, (kind.input_bytes, kind.input_bytes, kind.output_bytes), strict=True
        ):
            cuda.call("cudaMalloc", ctypes.byref(buffer), ctypes.c_size_t(n * n * width))
        host = random_operand(kind.precision, n)
        for buffer in buffers[:2]:
            cuda.call(
                "cudaMemcpy", buffer, host.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(host.nbytes), _H2D
            )

        def products(count: int) -> None:
            for _ in range(count):
                cuda.call(
                    "cublasGemmEx", handle, 1, 0, n, n, n, ctypes.byref(one), buffers[0], kind.inputs, n,
                    buffers[1], kind.inputs, n, ctypes.byref(zero), buffers[2], kind.output, n, kind.compute, -1,
                )  # fmt: skip
            cuda.call("cudaDeviceSynchronize")

        took = timed(products, clock, budget_s)
    finally:
        for buffer in buffers:
            cuda.runtime.cudaFree(buffer)
    return Measurement(
        "gemm", kind.precision, 2 * n**3 / took.median_s / 1e12, n, took.repeats, took.spread, "cublasGemmEx"
    )


def random_operand(precision: str, size: int) -> Any:
    """Return random numbers in the bits of `precision`.

    Zeros would draw less power and so run faster than real work.
    """
    random = np.random.default_rng(1)
    if precision == "int8":
        return random.integers(-128, 127, (size, size), dtype=np.int8)
    values = random.standard_normal((size, size), dtype=np.float32)
    if precision == "bf16":
        return np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16))
    return np.ascontiguousarray(
        values.astype({"fp16": np.float16, "fp64": np.float64}.get(precision, np.float32))
    )


def _copy(cuda: Cuda, clock: Clock, budget_s: float) -> Measurement:
    source, target = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        for buffer in (source, target):
            cuda.call("cudaMalloc", ctypes.byref(buffer), ctypes.c_size_t(COPY_BYTES))
        cuda.call("cudaMemset", source, 1, ctypes.c_size_t(COPY_BYTES))

        def copies(count: int) -> None:
            for _ in range(count):
                cuda.call("cudaMemcpy", target, source, ctypes.c_size_t(COPY_BYTES), _D2D)
            cuda.call("cudaDeviceSynchronize")

        took = timed(copies, clock, budget_s)
    finally:
        for buffer in (source, target):
            cuda.runtime.cudaFree(buffer)
    rate = 2 * COPY_BYTES / took.median_s / 1e9
    return Measurement(
        "memory", "", rate, COPY_BYTES, took.repeats, took.spread, "cudaMemcpy in device memory"
    )
