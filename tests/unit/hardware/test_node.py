"""One report of a machine, whatever its drivers do."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.unit.hardware.fake_host import GIB, FakeHost, pci_card
from tests.unit.hardware.test_nvidia import FakeNvml, Gpu
from tests.unit.hardware.test_vendor_tools import IXSMI, NPU_SMI

from pearlstreet.compute.hardware.access import HostAccess, LocalHost
from pearlstreet.compute.hardware.node import probe_node
from pearlstreet.compute.hardware.probes.protocol import PciRule, Sighting

FILES = {
    "/proc/cpuinfo": "processor : 0\nmodel name\t: Phytium S5000\n",
    "/proc/sys/kernel/osrelease": "6.1.0\n",
    "/etc/os-release": 'PRETTY_NAME="openEuler 22.03"\n',
    "/sys/block/nvme0n1/size": "3750748848\n",
    "/sys/block/nvme0n1/queue/rotational": "0\n",
    "/sys/block/loop0/size": "1000\n",
}


def test_a_machine_without_accelerators() -> None:
    report = probe_node(FakeHost(files=FILES))
    assert (report.name, report.cpus, report.memory_gib, report.disk_gib) == ("node-1", 16.0, 64.0, 100.0)
    assert (report.devices, report.healthy) == ((), True)
    assert report.facts["cpu"] == "Phytium S5000"
    assert report.facts["kernel"] == "6.1.0"
    assert report.facts["system"] == "openEuler 22.03"
    assert report.facts["disks"] == "nvme0n1 1788 GiB"


def test_devices_of_two_vendors_keep_apart() -> None:
    report = probe_node(FakeHost({"npu-smi": NPU_SMI}, nvml=FakeNvml([Gpu(), Gpu()])))
    assert [(d.index, d.vendor, d.link_group) for d in report.devices] == [
        (0, "NVIDIA", 0),
        (1, "NVIDIA", 0),
        (100, "Huawei", 100),
        (101, "Huawei", 100),
    ]
    assert report.healthy


def test_a_card_without_its_tool_is_seen_and_kept_out() -> None:
    files = pci_card("0000:3b:00.0", "0x10de", "0x2330", "0x030200") | pci_card(
        "0000:3c:00.0", "0x8086", "0x1572", "0x020000"
    )
    report = probe_node(FakeHost(files=files))
    (found,) = report.devices
    assert (found.vendor, found.model, found.uuid, found.healthy) == (
        "NVIDIA",
        "pci 10de:2330",
        "0000:3b:00.0",
        False,
    )
    assert "not installed" in str(found.health_reason)


def test_a_vendor_that_we_cannot_read_is_named() -> None:
    report = probe_node(FakeHost(files=pci_card("0000:3b:00.0", "0x1e52", "0x401e", "0x120000")))
    assert "cannot read Tenstorrent" in str(report.devices[0].health_reason)


def test_a_hanging_driver_gives_sick_devices_and_a_sick_machine() -> None:
    files = pci_card("0000:3b:00.0", "0x10de", "0x2330", "0x030200")
    report = probe_node(FakeHost(files=files, nvml=FakeNvml([Gpu()]), hanging=frozenset({"NVIDIA"})))
    assert [(d.healthy, str(d.health_reason)) for d in report.devices] == [
        (False, "The NVIDIA driver gives no answer")
    ]
    assert not report.healthy


def test_one_vendor_s_trouble_leaves_another_s_devices_usable() -> None:
    files = pci_card("0000:3b:00.0", "0x10de", "0x2330", "0x030200")
    report = probe_node(FakeHost({"ixsmi": IXSMI}, files, FakeNvml([Gpu()]), frozenset({"NVIDIA"})))
    assert report.healthy
    assert [d.healthy for d in report.devices] == [False, True]


def test_a_full_disk_keeps_work_away() -> None:
    report = probe_node(FakeHost(disk_free_bytes=GIB))
    assert not report.healthy
    assert "disk is full" in str(report.health_reason)


ACME = PciRule(frozenset({"0x1234"}))


@dataclass(frozen=True)
class Raising:
    vendor: str = "Acme"
    tool: str = "acme-smi"
    untested_on_hardware: bool = True
    pci: PciRule = ACME

    def detect(self, access: HostAccess) -> Sighting:
        raise KeyError("Temperature")


def test_a_probe_that_fails_becomes_a_reason() -> None:
    host = FakeHost(files=pci_card("0000:3b:00.0", "0x1234", "0x0001", "0x120000"))
    report = probe_node(host, [Raising()])
    assert "acme-smi" in str(report.devices[0].health_reason)
    assert "Temperature" in str(report.devices[0].health_reason)
    assert probe_node(FakeHost(), [Raising()]).facts["acme-smi problem"]


def test_this_machine_is_probed_for_real(tmp_path: Path) -> None:
    report = probe_node(LocalHost(tmp_path))
    assert report.cpus > 0
    assert report.memory_gib > 0
    assert report.disk_gib > 0
    assert report.facts["kernel"]


def test_commands_end_in_one_of_four_ways() -> None:
    host = LocalHost()
    assert host.run(["no-such-tool-here"], timeout_s=5).status == "missing"
    assert host.run([sys.executable, "-c", "print('hello')"], timeout_s=30).stdout == "hello\n"
    failed = host.run(
        [sys.executable, "-c", "import sys; sys.stderr.write('bad'); sys.exit(3)"], timeout_s=30
    )
    assert (failed.status, failed.code, failed.stderr) == ("failed", 3, "bad")
    assert host.run(
        [sys.executable, "-c", "input() if 0 else __import__('time').sleep(60)"], timeout_s=0.2
    ).status == ("timeout")


def test_a_hanging_call_is_given_up_and_not_repeated() -> None:
    host, release, calls = LocalHost(), threading.Event(), []

    def hang() -> int:
        calls.append(1)
        release.wait(30)
        return 7

    assert host.guarded("stuck", hang, timeout_s=0.05) is None
    assert host.guarded("stuck", hang, timeout_s=0.05) is None
    assert host.guarded("other", lambda: 5, timeout_s=5) == 5
    assert len(calls) == 1
    release.set()
