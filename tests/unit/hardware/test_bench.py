"""The benchmark measures, keeps to its time, and says what it could not measure."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pearlstreet.base.clock import SystemClock, VirtualClock
from pearlstreet.compute.hardware.bench import BenchResult, Progress, cpu, cuda, measure_node
from pearlstreet.compute.hardware.bench.timing import timed
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport

NODE = NodeReport("n", cpus=2.0, memory_gib=1.0, disk_gib=10.0, facts={"cpu": "Test CPU"})
CARD = DeviceReport(0, "NVIDIA", "h100-sxm-80g", 80.0, uuid="GPU-0")


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "worker.py"
    path.write_text("import json, sys, time\n" + body)
    return [sys.executable, str(path)]


def test_this_machine_s_cpu_is_measured() -> None:
    steps: list[Progress] = []
    result = measure_node(NODE, SystemClock(), budget_s=8.0, progress=steps.append)
    assert result.cpu is not None
    found = {(m.what, m.precision): m for m in result.cpu.measurements}
    assert set(found) >= {("gemm", "fp32"), ("gemm", "fp64"), ("memory", "")}
    assert all(m.value > 0 and m.repeats >= 3 and m.spread >= 0 for m in found.values())
    assert result.cpu.rates["fp32"] == found[("gemm", "fp32")].value
    assert result.threads == 2
    assert result.versions["numpy"] == np.__version__
    assert [step.measurement for step in steps if step.measurement] == list(result.cpu.measurements)
    assert BenchResult.from_json(result.to_json()) == result


def test_a_worker_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    result = measure_node(NODE, SystemClock(), budget_s=0.4, worker=script(tmp_path, "time.sleep(60)"))
    assert result.duration_s < 10
    assert result.cpu is not None
    assert "stopped" in result.cpu.notices[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('oops')", "unreadable"),
        ("sys.exit('no BLAS')", "no BLAS"),
        ("print(json.dumps({'notice': 'no cuBLAS'}))", "no cuBLAS"),
        ("print(json.dumps({'measurement': {'odd': 1}}))", "unreadable"),
    ],
)
def test_a_worker_that_fails_is_noted(tmp_path: Path, body: str, words: str) -> None:
    result = measure_node(NODE, SystemClock(), budget_s=30.0, worker=script(tmp_path, body))
    assert result.cpu is not None
    assert words in result.cpu.notices[0]
    assert result.cpu.measurements == ()


def test_figures_of_a_card_are_set_against_its_rating(tmp_path: Path) -> None:
    body = """
if sys.argv[1] == "cuda":
    for what, precision, value in (("gemm", "bf16", 791.5), ("memory", "", 3015.0), ("gemm", "fp9", 1.0)):
        figure = dict(what=what, precision=precision, value=value, size=1, repeats=3, spread=0.0, method="m")
        print(json.dumps({"measurement": figure}))
"""
    sick = DeviceReport(1, "NVIDIA", "h100-sxm-80g", 80.0, uuid="GPU-1", healthy=False)
    node = NodeReport("n", 2.0, 4.0, 10.0, devices=(CARD, sick))
    result = measure_node(node, SystemClock(), budget_s=30.0, worker=script(tmp_path, body))
    found = result.device("GPU-0")
    assert found is not None
    assert [m.peak_share for m in found.measurements] == [0.8, 0.9, None]
    assert found.untested
    assert result.device("GPU-1") is None
    assert BenchResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "devices": [{}]}', "nonsense"]
)
def test_what_is_no_result_is_refused(content: str) -> None:
    with pytest.raises(ValueError):
        BenchResult.from_json(content)


def test_timing_takes_the_median_after_warming_up() -> None:
    clock = VirtualClock()
    laps = iter([9.0, 1.0, 1.0, 1.0, 4.0, 1.0, 2.0])

    def work(count: int) -> None:
        clock.advance(next(laps, 1.0) * count)

    took = timed(work, clock, budget_s=16.0)
    assert took.median_s == pytest.approx(1.0)
    assert took.repeats >= 3
    assert took.spread == pytest.approx(3.0)


def test_short_work_is_batched_and_long_work_ends() -> None:
    clock, counts = VirtualClock(), []

    def work(count: int) -> None:
        counts.append(count)
        clock.advance(0.001 * count)

    timed(work, clock, budget_s=1.0)
    assert counts[:3] == [1, 1, 20]
    slow = VirtualClock()
    assert timed(lambda count: slow.advance(100.0 * count), slow, budget_s=1.0).repeats == 3


def test_the_triad_computes_what_it_claims() -> None:
    count = cpu.BLOCK_ELEMENTS * 2 + 7
    a, b, c = np.zeros(count), np.arange(count, dtype=float), np.full(count, 2.0)
    cpu._triad(a, b, c, 0, count)
    assert np.array_equal(a, b + 6.0)


def test_triad_arrays_stay_within_memory(tmp_path: Path) -> None:
    assert cpu.array_bytes(100 << 30) >= cpu.LEAST_ARRAY_BYTES
    assert cpu.array_bytes(1 << 30) <= 1 << 26
    (tmp_path / "index3").mkdir()
    (tmp_path / "index3" / "size").write_text("36608K\n")
    assert cpu.last_level_cache_bytes(str(tmp_path)) == 36608 << 10
    assert cpu.last_level_cache_bytes(str(tmp_path / "none")) == 0


class FakeLibrary:
    """Stands for both CUDA libraries: answers 0, except to calls named in `codes`, and advances the clock for work."""

    def __init__(self, clock: VirtualClock, codes: dict[str, int] | None = None) -> None:
        self.clock, self.codes = clock, codes or {}
        self.open_buffers = 0
        self.compute_kinds: list[int] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            if self.codes.get(name):
                return self.codes[name]
            self.open_buffers += {"cudaMalloc": 1}.get(name, 0)
            if name == "cudaFree" and self.open_buffers:
                self.open_buffers -= 1
            if name == "cublasGemmEx":
                self.compute_kinds.append(arguments[-2])
                self.clock.advance(0.01)
            if name == "cudaMemcpy":
                self.clock.advance(0.001)
            return 0

        return call


def test_every_precision_goes_through_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "random_operand", lambda precision, size: np.zeros(4, dtype=np.int8))
    clock = VirtualClock()
    library = FakeLibrary(clock)
    found = list(cuda.measure(cuda.Cuda(library, library), 0, clock, budget_s=2.0))
    figures = {m.precision: m for m in found if not isinstance(m, str)}
    assert list(figures) == ["bf16", "fp16", "tf32", "int8", "fp32", "fp64", ""]
    assert figures["bf16"].value == pytest.approx(2 * 8192**3 / 0.01 / 1e12)
    assert figures[""].value == pytest.approx(2 * cuda.COPY_BYTES / 0.001 / 1e9)
    assert set(library.compute_kinds) == {68, 77, 72, 70}
    assert library.open_buffers == 0


def test_what_cublas_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "random_operand", lambda precision, size: np.zeros(4, dtype=np.int8))
    clock = VirtualClock()
    library = FakeLibrary(clock, {"cublasGemmEx": 15})
    found = list(cuda.measure(cuda.Cuda(library, library), 0, clock, budget_s=2.0))
    assert found[0] == "gemm bf16 not measured: cublasGemmEx answers 15"
    assert not isinstance(found[-1], str)
    assert library.open_buffers == 0


def test_without_cuda_there_is_nothing_to_load(tmp_path: Path) -> None:
    try:
        ctypes.CDLL("libcudart.so.12")
    except OSError:
        assert cuda.load([str(tmp_path)]) is None


@pytest.mark.parametrize(("precision", "kind"), [("bf16", "uint16"), ("fp16", "float16"), ("int8", "int8")])
def test_operands_are_random_numbers_of_their_kind(precision: str, kind: str) -> None:
    operand = cuda.random_operand(precision, 64)
    assert operand.dtype == kind
    assert len(np.unique(operand)) > 32
    if precision == "bf16":
        back = (operand.astype(np.uint32) << 16).view(np.float32)
        assert np.isfinite(back).all()
        assert abs(float(back.std()) - 1.0) < 0.1
