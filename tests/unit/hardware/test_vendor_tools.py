"""Every vendor tool's output becomes devices; samples follow layouts published by users of the tools."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.hardware.fake_host import FakeHost

from pearlstreet.compute.hardware.access import CommandResult
from pearlstreet.compute.hardware.model import DeviceReport
from pearlstreet.compute.hardware.probes.protocol import Probe
from pearlstreet.compute.hardware.probes.registry import PROBES

NPU_SMI = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.0                   Version: 24.1.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 91.5        48                0    / 0             |
| 0                         | 0000:C1:00.0  | 7           0    / 0          8192 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Critical      | 99.0        51                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3374 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 0       0                 | 4711          | python                   | 5120                    |
+===========================+===============+====================================================+
"""
NPU_SMI_TWO_DIES = """\
| npu-smi 25.0.0                   Version: 25.0.0                                               |
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 3     Ascend910           | OK            | 171.2       37                0    / 0             |
| 0     6                   | 0000:9D:00.0  | 0           0    / 0          3100/ 65536          |
+------------------------------------------------------------------------------------------------+
| 3     Ascend910           | OK            | -           38                0    / 0             |
| 1     7                   | 0000:9F:00.0  | 0           0    / 0          2900/ 65536          |
+===========================+===============+====================================================+
"""
ROCM_SMI = "WARNING: AMD GPU device(s) is/are in a low-power state.\n" + json.dumps(
    {
        "card0": {
            "Device Name": "AMD Instinct MI300X",
            "Unique ID": "0xabc0",
            "Temperature (Sensor junction) (C)": "44.0",
            "Temperature (Sensor memory) (C)": "39.0",
            "Current Socket Graphics Package Power (W)": "141.0",
            "GPU use (%)": "12",
            "VRAM Total Memory (B)": "206141652992",
            "VRAM Total Used Memory (B)": "1073741824",
            "Card Series": "AMD Instinct MI300X",
        },
        "system": {"Driver version": "6.8.5"},
    }
)
AMD_STATIC = json.dumps(
    {
        "gpu_data": [
            {
                "gpu": 0,
                "asic": {"market_name": "AMD Instinct MI300X", "asic_serial": "0xabc0"},
                "vram": {"type": "HBM", "size": {"value": 196592, "unit": "MB"}},
            }
        ]
    }
)
AMD_METRIC = json.dumps(
    {
        "gpu_data": [
            {
                "gpu": 0,
                "usage": {"gfx_activity": {"value": 12, "unit": "%"}},
                "power": {"socket_power": {"value": 141, "unit": "W"}},
                "temperature": {"hotspot": {"value": 44, "unit": "C"}, "mem": {"value": 39, "unit": "C"}},
                "mem_usage": {"used_vram": {"value": 1024, "unit": "MB"}},
                "ecc": {"total_uncorrectable_count": 0},
            }
        ]
    }
)
HY_SMI = json.dumps(
    {
        "card0": {
            "Card Series": "K100_AI",
            "Unique ID": "T1",
            "Temperature (Sensor junction) (C)": "51.0",
            "Temperature (Sensor mem) (C)": "49.0",
            "Average Graphics Package Power (W)": "96.0",
            "HCU use (%)": "3",
            "HCU memory use (%)": "25",
            "Available memory size (MiB)": "65520",
        }
    }
)
XPU_LISTING = json.dumps(
    {
        "device_list": [
            {
                "device_id": 0,
                "device_name": "Intel(R) Data Center GPU Max 1550",
                "vendor_name": "Intel(R) Corporation",
                "uuid": "u-0",
            }
        ]
    }
)
XPU_DETAILS = json.dumps({"memory_physical_size_byte": "137438953472"})
XPU_STATS = json.dumps(
    {
        "device_level": [
            {"metrics_type": "XPUM_STATS_POWER", "value": 210.5},
            {"metrics_type": "XPUM_STATS_GPU_CORE_TEMPERATURE", "value": 41},
            {"metrics_type": "XPUM_STATS_MEMORY_USED", "value": 2048},
        ]
    }
)
HL_SMI = "0, 01P4-HL2080A0, HL-225, 98304 MiB, 672 MiB, 31 C, 0 %, 96 W\n"
CNMON = """\
Tue Mar  4 10:11:12 2025
Card 0
    Product Name                   : MLU370-X8
    UUID                           : 00000000-0000-0000-0000-000000000001
    Driver                         : v5.10.22
    Health State                   :
        Device                     : Good
        Driver                     : Running
    Utilization                    :
        MLU Average                : 66 %
    Temperature                    :
        Board                      : 40 C
        Chip                       : 55 C
        Memory                     : 50 C
    Physical Memory Usage          :
        Total                      : 46000 MiB
        Used                       : 1024 MiB
    Power                          :
        Usage                      : 88 W
        Cap                        : 250 W
Card 1
    Product Name                   : MLU370-X8
    UUID                           : 00000000-0000-0000-0000-000000000002
    Health State                   :
        Device                     : In Problem
    Physical Memory Usage          :
        Total                      : 46000 MiB
        Used                       : 0 MiB
"""
MTHREADS = """\
Tue Mar  4 10:11:12 2025
---------------------------------------------------------------
    mthreads-gmi:1.14.0           Driver Version:2.7.0
---------------------------------------------------------------
ID   Name           |PCIe                |%GPU  Mem
     Device Type    |Pcie Lane Width     |Temp  MPC Capable
                                         |      ECC Mode
+-------------------------------------------------------------+
0    MTT S4000      |00000000:10:00.0    |5%    512MiB(49152MiB)
     Physical       |16x(16x)            |33C   YES
                                         |      N/A
---------------------------------------------------------------
"""
IXSMI = "0, Iluvatar BI-V150, GPU-1, 32768 MiB, 116 MiB, 0 %, 30 C\n"
MX_SMI = """\
mx-smi  version: 2.2.8

=================== MetaX System Management Interface Log ===================
+---------------------------------------------------------------------------------+
| MX-SMI 2.2.8                        Kernel Mode Driver Version: 3.0.11          |
| MACA Version: 3.1.0.14              BIOS Version: 1.26.1.0                      |
|------------------------------------+---------------------+----------------------+
| GPU     NAME         Persistence-M | Bus-id              | GPU-Util      sGPU-M |
| Temp    Pwr:Usage/Cap         Perf | Memory-Usage        | GPU-State            |
|====================================+=====================+======================|
| 0       MetaX C500             Off | 0000:01:00.0        | 4%            Native |
| 37C     69W / 350W              P0 | 914/65536 MiB       | Available            |
+------------------------------------+---------------------+----------------------+
| 1       MetaX C500             Off | 0000:02:00.0        | 0%            Native |
| 38C     60W / 350W              P0 | 858/65536 MiB       | Not Available        |
+------------------------------------+---------------------+----------------------+
"""
XPU_SMI_KUNLUN = (
    "00000000:03:00.0 0 0 SN001 36 0 0 0 86 1450 1450 1450 1450 1450 1450 2 96 90440 98304 17 1.0:2.6 "
    '"P800 OAM" 0 0 0\n'
)
EFSMI = """\
--------------------- Enflame System Management Interface ---------------------
DEV ID 0
    Driver Info
        Ver                     : 1.4.3.4
    Device Info
        Dev Name                : S60
        Dev UUID                : TR-1
        Health                  : True
    Power Info
        Power Capa              : 300 W
        Cur Power               : 96 W
    Device Mem Info
        Total Size              : 42976 MiB
        Used Size               : 1129 MiB
    Temperature Info
        GCU Temp                : 35 ℃
    Device Usage Info
        GCU Usage               : 2.5 %
    RMA Info
        Flags                   : False
"""
INTEL = {
    "xpu-smi discovery -j": XPU_LISTING,
    "xpu-smi discovery -d 0 -j": XPU_DETAILS,
    "xpu-smi stats -d 0 -j": XPU_STATS,
}


def probe(vendor: str, tool: str) -> Probe:
    return next(probe for probe in PROBES if probe.vendor == vendor and tool in probe.tool)


def devices(vendor: str, tool: str, outputs: dict[str, str]) -> tuple[DeviceReport, ...]:
    sighting = probe(vendor, tool).detect(FakeHost(outputs))
    assert sighting.problem is None
    return sighting.devices


@pytest.mark.parametrize(
    ("vendor", "tool", "outputs", "model", "memory_gib", "used_gib", "celsius", "percent", "watts"),
    [
        ("Huawei", "npu-smi", {"npu-smi": NPU_SMI}, "ascend-910b3", 64, 8, 48, 7, 91.5),
        ("AMD", "rocm-smi", {"rocm-smi": ROCM_SMI}, "mi300x", 191.984, 1, 44, 12, 141),
        ("AMD", "amd-smi", {"amd-smi static --asic --vram --json": AMD_STATIC, "amd-smi metric --json": AMD_METRIC},
         "mi300x", 191.984, 1, 44, 12, 141),
        ("Hygon", "hy-smi", {"hy-smi": HY_SMI}, "dcu-k100-ai", 63.984, 15.996, 51, 3, 96),
        ("Intel", "xpu-smi", INTEL, "max-1550", 128, 2, 41, None, 210.5),
        ("Intel", "hl-smi", {"hl-smi": HL_SMI}, "gaudi2", 96, 0.656, 31, 0, 96),
        ("Cambricon", "cnmon", {"cnmon": CNMON}, "mlu370-x8", 44.922, 1, 55, 66, 88),
        ("Moore Threads", "mthreads-gmi", {"mthreads-gmi": MTHREADS}, "mtt-s4000", 48, 0.5, 33, 5, None),
        ("Iluvatar CoreX", "ixsmi", {"ixsmi": IXSMI}, "bi-v150", 32, 0.113, 30, 0, None),
        ("MetaX", "mx-smi", {"mx-smi": MX_SMI}, "metax-c500", 64, 0.893, 37, 4, 69),
        ("Kunlunxin", "xpu_smi", {"xpu_smi": XPU_SMI_KUNLUN}, "kunlun-p800", 96, 88.32, 36, 17, 86),
        ("Enflame", "efsmi", {"efsmi": EFSMI}, "enflame-s60", 41.969, 1.103, 35, 2.5, 96),
    ],
)  # fmt: skip
def test_a_tool_is_read(
    vendor: str, tool: str, outputs: dict[str, str], model: str, memory_gib: float, used_gib: float,
    celsius: float, percent: float | None, watts: float | None,
) -> None:  # fmt: skip
    found = devices(vendor, tool, outputs)[0]
    assert (found.vendor, found.model, found.index) == (vendor, model, 0)
    assert found.healthy, str(found.health_reason)
    assert found.uuid
    assert found.untested
    assert found.memory_gib == pytest.approx(memory_gib, abs=0.001)
    assert found.memory_used_gib == pytest.approx(used_gib, abs=0.001)
    assert (found.temperature_c, found.utilization_percent, found.power_w) == (celsius, percent, watts)


@pytest.mark.parametrize(
    ("vendor", "tool", "output", "word"),
    [
        ("Huawei", "npu-smi", NPU_SMI, "Critical"),
        ("Cambricon", "cnmon", CNMON, "In Problem"),
        ("MetaX", "mx-smi", MX_SMI, "Not Available"),
    ],
)
def test_a_device_that_its_tool_calls_sick_is_sick(vendor: str, tool: str, output: str, word: str) -> None:
    first, second = devices(vendor, tool, {tool: output})
    assert first.healthy
    assert not second.healthy
    assert word in str(second.health_reason)


def test_enflame_health_and_hot_memory_count() -> None:
    sick = devices("Enflame", "efsmi", {"efsmi": EFSMI.replace(": True", ": False")})[0]
    assert not sick.healthy
    hot = devices("Hygon", "hy-smi", {"hy-smi": HY_SMI.replace("49.0", "104.0")})[0]
    assert "104" in str(hot.health_reason)


def test_two_dies_of_one_ascend_card_are_two_devices_by_their_own_number() -> None:
    first, second = devices("Huawei", "npu-smi", {"npu-smi": NPU_SMI_TWO_DIES})
    assert [(d.index, d.model, d.memory_gib) for d in (first, second)] == [
        (6, "ascend-910c", 64.0),
        (7, "ascend-910c", 64.0),
    ]
    assert second.power_w is None


def test_a_model_outside_the_catalogue_keeps_its_own_name() -> None:
    found = devices("Iluvatar CoreX", "ixsmi", {"ixsmi": IXSMI.replace("BI-V150", "BI-V900")})[0]
    assert found.model == "Iluvatar BI-V900"


TOOLS = [(probe, probe.tool.split()[0]) for probe in PROBES if probe.tool and probe.tool != "NVML"]


@pytest.mark.parametrize(("probe", "tool"), TOOLS, ids=[f"{probe.vendor}-{tool}" for probe, tool in TOOLS])
@pytest.mark.parametrize(
    ("result", "word"),
    [
        (CommandResult("timeout"), "no answer"),
        (CommandResult("failed", stderr="driver not loaded", code=9), "driver not loaded"),
        (CommandResult("ok", stdout="", code=0), "printed nothing"),
        (CommandResult("ok", stdout="Segmentation fault (core dumped)", code=0), "Segmentation fault"),
        (CommandResult("ok", stdout='{"card0": [1, 2', code=0), "card0"),
    ],
)
def test_a_bad_answer_becomes_a_reason(probe: Probe, tool: str, result: CommandResult, word: str) -> None:
    sighting = probe.detect(FakeHost({tool: result}))
    assert sighting.devices == ()
    assert sighting.problem is not None
    assert word in str(sighting.problem)


@pytest.mark.parametrize(("probe", "tool"), TOOLS, ids=[f"{probe.vendor}-{tool}" for probe, tool in TOOLS])
def test_a_missing_tool_is_silent(probe: Probe, tool: str) -> None:
    sighting = probe.detect(FakeHost())
    assert (sighting.devices, sighting.problem, sighting.tool_missing) == ((), None, True)


SAMPLES = [
    NPU_SMI,
    ROCM_SMI,
    HY_SMI,
    HL_SMI,
    CNMON,
    MTHREADS,
    IXSMI,
    MX_SMI,
    XPU_SMI_KUNLUN,
    EFSMI,
    XPU_LISTING,
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 2000), st.integers(0, 200), st.text(max_size=20))
def test_no_damage_to_an_output_raises(sample: str, start: int, length: int, noise: str) -> None:
    """Cut out a piece of real output, put noise in its place, and show it to every probe."""
    damaged = sample[:start] + noise + sample[start + length :]
    for one, tool in TOOLS:
        sighting = one.detect(FakeHost({tool: damaged, "rocm-smi": damaged}))
        assert all(device.memory_gib >= 0 for device in sighting.devices)
