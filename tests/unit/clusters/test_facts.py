"""What a host is found to have, read from what its programs and files say."""

from __future__ import annotations

import itertools

from tests.unit.hardware.fake_host import FakeHost

from pearlstreet.compute.clusters.facts import host_facts
from pearlstreet.compute.hardware.access import CommandResult

LSCPU = "# CPU,Core,Socket\n" + "".join(f"{cpu},{cpu % 16},{cpu % 16 // 8}\n" for cpu in range(32))
SMI = "".join(f"{n}, NVIDIA H100 80GB HBM3, GPU-{n}, 81559, 0, 30, 0, 70.1\n" for n in range(4))
FILES = {
    "/etc/os-release": 'PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n',
    "/proc/1/comm": "systemd\n",
}


def test_processor_devices_system_and_clock() -> None:
    host = FakeHost({"lscpu": LSCPU, "nvidia-smi": SMI, "date": "1000.5\n"}, FILES)
    facts = host_facts(host, itertools.count(1000).__next__)
    assert (facts.sockets, facts.cores_per_socket, facts.threads_per_core) == (2, 8, 2)
    assert facts.memory_mib == 64 * 1024 and facts.system == "debian 12" and facts.has_systemd
    assert [(some.model, some.files) for some in facts.devices] == [
        ("h100-sxm-80g", tuple(f"/dev/nvidia{n}" for n in range(4)))
    ]
    assert facts.devices[0].slurm_type == "h100-sxm-80g"
    assert facts.clock_offset_s == 0.0 and not facts.problems


def test_what_keeps_a_host_out_is_said() -> None:
    broken = CommandResult("failed", stderr="driver/library version mismatch", code=18)
    host = FakeHost({"nvidia-smi": broken, "date": "2000\n"}, {"/proc/1/comm": "sh\n"})
    facts = host_facts(host, lambda: 1000.0)
    assert facts.clock_offset_s == 1000.0 and not facts.has_systemd
    assert (facts.sockets, facts.cores_per_socket, facts.threads_per_core) == (1, 16, 1)
    assert any("1000 s" in str(problem) for problem in facts.problems)


def test_a_host_that_says_nonsense_has_no_devices() -> None:
    host = FakeHost({"lscpu": "x,y\n", "nvidia-smi": "a,b\n", "date": "soon\n"})
    facts = host_facts(host, lambda: 0.0)
    assert facts.devices == () and facts.clock_offset_s is None and facts.cpus == 16
