"""The NVIDIA probe on a stand-in for NVML: health, links, lost devices and missing drivers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.hardware.fake_host import GIB, FakeHost

from pearlstreet.compute.engines.local.devices import nodes_of
from pearlstreet.compute.engines.protocol import DeviceGrant
from pearlstreet.compute.hardware.model import DeviceReport
from pearlstreet.compute.hardware.probes.nvidia import NvidiaProbe
from pearlstreet.compute.hardware.probes.protocol import Sighting


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        self.value = value
        super().__init__(f"NVML error {value}")


@dataclass
class Gpu:
    """One GPU as NVML tells of it. `links`: index of the peer, or "switch", per link."""

    name: str = "NVIDIA H100 80GB HBM3"
    memory_gib: float = 79.65
    celsius: int = 41
    slowdown: int | None = 92
    milliwatts: int = 118_000
    reasons: int = 0x1
    uncorrected: int = 0
    remap_failed: bool = False
    links: tuple[int | str, ...] = ()
    lost: int | None = None
    unsupported: frozenset[str] = field(default_factory=frozenset)


class FakeNvml:
    """The part of NVML that the probe asks, answering from a list of GPUs."""

    NVMLError = NVMLError

    def __init__(self, gpus: list[Gpu], init_error: int | None = None) -> None:
        self._gpus = gpus
        self._init_error = init_error

    def nvmlInit(self) -> None:
        if self._init_error is not None:
            raise NVMLError(self._init_error)

    def nvmlShutdown(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 12040

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        if self._gpus[index].lost is not None:
            raise NVMLError(self._gpus[index].lost or 0)
        return self._gpus[index]

    def nvmlDeviceGetNvLinkState(self, gpu: Gpu, link: int) -> int:
        if link >= len(gpu.links):
            raise NVMLError(3)
        return 1

    def nvmlDeviceGetNvLinkRemoteDeviceType(self, gpu: Gpu, link: int) -> int:
        return 2 if gpu.links[link] == "switch" else 0

    def nvmlDeviceGetNvLinkRemotePciInfo(self, gpu: Gpu, link: int) -> Any:
        far = gpu.links[link]
        return SimpleNamespace(busId="00000000:FF:00.0" if far == "switch" else f"00000000:0{far}:00.0")

    def nvmlDeviceGetPciInfo(self, gpu: Gpu) -> Any:
        return SimpleNamespace(busId=f"00000000:0{self._gpus.index(gpu)}:00.0")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Callable[[Gpu], Any]] = {
            "nvmlDeviceGetName": lambda gpu: gpu.name,
            "nvmlDeviceGetUUID": lambda gpu: f"GPU-{self._gpus.index(gpu)}",
            "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(total=int(gpu.memory_gib * GIB), used=GIB),
            "nvmlDeviceGetTemperature": lambda gpu: gpu.celsius,
            "nvmlDeviceGetTemperatureThreshold": lambda gpu: gpu.slowdown,
            "nvmlDeviceGetPowerUsage": lambda gpu: gpu.milliwatts,
            "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=37, memory=5),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: gpu.reasons,
            "nvmlDeviceGetTotalEccErrors": lambda gpu: gpu.uncorrected,
            "nvmlDeviceGetRemappedRows": lambda gpu: (0, 0, 0, int(gpu.remap_failed)),
        }
        if name not in answers:
            raise AttributeError(name)

        def answer(gpu: Gpu, *arguments: object) -> Any:
            if name in gpu.unsupported:
                raise NVMLError(3)
            return answers[name](gpu)

        return answer


def detect(*gpus: Gpu, init_error: int | None = None) -> Sighting:
    return NvidiaProbe().detect(FakeHost(nvml=FakeNvml([*gpus], init_error)))


def one(gpu: Gpu) -> DeviceReport:
    return detect(gpu).devices[0]


def test_a_gpu_is_described() -> None:
    sighting = detect(Gpu())
    found = sighting.devices[0]
    assert (found.model, found.vendor, found.uuid, found.untested) == (
        "h100-sxm-80g",
        "NVIDIA",
        "GPU-0",
        True,
    )
    assert found.memory_gib == pytest.approx(79.65)
    assert (found.temperature_c, found.utilization_percent, found.power_w) == (41, 37.0, 118.0)
    assert found.healthy
    assert sighting.facts == {"nvidia_driver": "550.54.15", "cuda_driver": "12.4"}


@pytest.mark.parametrize(
    ("gpu", "word"),
    [
        (Gpu(celsius=93), "93"),
        (Gpu(celsius=90, slowdown=None), "90"),
        (Gpu(reasons=0x40), "hardware thermal slowdown"),
        (Gpu(reasons=0x8 | 0x80), "power brake"),
        (Gpu(uncorrected=2), "2 memory errors"),
        (Gpu(remap_failed=True), "memory row"),
        (Gpu(lost=15), "lost"),
        (Gpu(lost=16), "lost"),
        (Gpu(lost=4), "cannot open"),
    ],
)
def test_a_failing_gpu_is_kept_out_with_a_reason(gpu: Gpu, word: str) -> None:
    found = one(gpu)
    assert not found.healthy
    assert word in str(found.health_reason)


@pytest.mark.parametrize("reasons", [0x0, 0x1, 0x4, 0x2, 0x100])
def test_idleness_and_a_power_cap_are_no_illness(reasons: int) -> None:
    assert one(Gpu(reasons=reasons)).healthy


def test_the_card_s_own_slowdown_temperature_counts() -> None:
    assert one(Gpu(celsius=91, slowdown=95)).healthy


def test_a_lost_gpu_leaves_the_others_alone() -> None:
    first, second, third = detect(Gpu(), Gpu(lost=15), Gpu()).devices
    assert (first.healthy, second.healthy, third.healthy) == (True, False, True)
    assert [d.index for d in (first, second, third)] == [0, 1, 2]


def test_a_card_that_tells_little_is_still_reported() -> None:
    names = ["MemoryInfo", "PowerUsage", "UtilizationRates", "Temperature", "RemappedRows", "TotalEccErrors"]
    found = one(Gpu(name="Tesla T4", unsupported=frozenset(f"nvmlDeviceGet{name}" for name in names)))
    assert (found.model, found.memory_gib, found.healthy) == ("t4", 16.0, True)
    assert (found.temperature_c, found.power_w) == (None, None)


@pytest.mark.parametrize(
    ("links", "groups"),
    [
        ([(), (), ()], [0, 0, 0]),
        ([("switch",), ("switch",), ("switch",)], [0, 0, 0]),
        ([(1,), (0,), (3,), (2,)], [0, 0, 1, 1]),
        ([(1,), (0, 2), (1,), ()], [0, 0, 0, 1]),
    ],
)
def test_devices_joined_by_nvlink_share_a_group(
    links: list[tuple[int | str, ...]], groups: list[int]
) -> None:
    found = detect(*(Gpu(links=ends) for ends in links)).devices
    assert [device.link_group for device in found] == groups


@pytest.mark.parametrize("code", [9, 12])
def test_no_driver_means_no_gpus(code: int) -> None:
    sighting = detect(init_error=code)
    assert sighting.tool_missing
    assert sighting.problem is None


def test_a_broken_driver_is_a_problem() -> None:
    assert "does not start" in str(detect(init_error=999).problem)


def test_without_pynvml_there_is_nothing_to_ask() -> None:
    assert NvidiaProbe().detect(FakeHost(nvml=None)).tool_missing


class EventNvml(FakeNvml):
    """NVML with error counters and a queue of Xid events."""

    def __init__(self, gpus: list[Gpu]) -> None:
        super().__init__(gpus)
        self.waiting: list[tuple[int, int]] = []

    def nvmlDeviceGetTotalEccErrors(self, gpu: Gpu, kind: int, counter: int) -> int:
        return 12 if kind == 0 else gpu.uncorrected

    def nvmlDeviceGetPcieReplayCounter(self, gpu: Gpu) -> int:
        return 4

    def nvmlDeviceGetNvLinkErrorCounter(self, gpu: Gpu, link: int, counter: int) -> int:
        return counter

    def nvmlEventSetCreate(self) -> str:
        return "events"

    def nvmlDeviceRegisterEvents(self, gpu: Gpu, kinds: int, events: str) -> None:
        assert (kinds, events) == (8, "events")

    def nvmlEventSetWait_v2(self, events: str, timeout_ms: int) -> Any:
        if not self.waiting:
            raise NVMLError(10)
        index, code = self.waiting.pop(0)
        return SimpleNamespace(device=self._gpus[index], eventData=code)

    def nvmlDeviceGetIndex(self, gpu: Gpu) -> int:
        return self._gpus.index(gpu)


def test_error_counters_and_xid_events_are_counted_by_device() -> None:
    nvml = EventNvml([Gpu(links=(1, 1)), Gpu(uncorrected=2, reasons=0x40)])
    host = FakeHost(nvml=nvml)
    NvidiaProbe().detect(host)
    nvml.waiting += [(1, 79), (1, 31), (1, 79)]
    NvidiaProbe().detect(host)
    first, second = NvidiaProbe().detect(host).devices
    assert first.counters == {
        "ecc_corrected": 12,
        "ecc_uncorrected": 0,
        "pcie_replays": 4,
        "link_errors": 12,
        "throttled": 0,
    }
    assert second.counters["xid_79"] == 2
    assert second.counters["xid_31"] == 1
    assert second.counters["throttled"] == 1
    assert "link_errors" not in second.counters


def test_a_driver_without_counters_reports_none_of_them() -> None:
    unsupported = frozenset({"nvmlDeviceGetTotalEccErrors"})
    assert one(Gpu(unsupported=unsupported)).counters == {"throttled": 0}


class MigNvml(FakeNvml):
    """One A100 in MIG mode with two instances in slots 0 and 2."""

    def nvmlDeviceGetMigMode(self, gpu: Gpu) -> tuple[int, int]:
        return (1, 1)

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Gpu) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Gpu, slot: int) -> Gpu:
        if slot not in (0, 2):
            raise NVMLError(6)
        part = Gpu(name="NVIDIA A100-SXM4-40GB MIG 3g.20gb", memory_gib=19.5)
        self._gpus.append(part)
        return part

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetGpuInstanceId(self, part: Gpu) -> int:
        return next(number for number, gpu in enumerate(self._gpus) if gpu is part)

    def nvmlDeviceGetComputeInstanceId(self, part: Gpu) -> int:
        return 0


def test_a_divided_gpu_is_its_instances_each_with_its_own_capability_files() -> None:
    folder = "/proc/driver/nvidia/capabilities/gpu0/mig"
    files = {
        f"{folder}/gi1/access": "DeviceFileMinor: 12\nDeviceFileMode: 292\n",
        f"{folder}/gi1/ci0/access": "DeviceFileMinor: 13\n",
        f"{folder}/gi2/access": "DeviceFileMinor: 21\n",
        f"{folder}/gi2/ci0/access": "DeviceFileMinor: 22\n",
    }
    nvml = MigNvml([Gpu(name="NVIDIA A100-SXM4-40GB", memory_gib=39.4)])
    found = NvidiaProbe().detect(FakeHost(nvml=nvml, files=files)).devices
    assert [(device.index, device.model, device.memory_gib) for device in found] == [
        (1000, "a100-sxm-40g-mig-3g.20gb", 19.5),
        (3000, "a100-sxm-40g-mig-3g.20gb", 19.5),
    ]
    grant = DeviceGrant(3000, None, None)
    assert "/dev/nvidia0" in nodes_of([grant], found)
    assert {path for path in nodes_of([grant], found) if "caps" in path} == {
        "/dev/nvidia-caps/nvidia-cap21",
        "/dev/nvidia-caps/nvidia-cap22",
    }, "the files of the other instance stay hidden"
