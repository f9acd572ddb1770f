"""The hosts file: what it says, and every mistake named with its place at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.clusters.hosts_file import EXAMPLE, read_hosts_file
from pearlstreet.compute.clusters.model import Devices


def test_the_example_of_the_messages_can_be_read() -> None:
    cluster = read_hosts_file(EXAMPLE.encode()).cluster
    assert cluster.controller == "head" and not cluster.host("head").is_compute
    assert [host.name for host in cluster.hosts if host.is_compute] == [f"n{n:02d}" for n in range(1, 17)]
    assert cluster.host("n16").address == "10.0.1.16" and cluster.host("n16").described is None


def test_a_host_may_be_described_instead_of_asked() -> None:
    text = """
    [ssh]
    user = "admin"
    port = 2222
    [[hosts]]
    name = "a[1-2]"
    address = "127.0.0.1"
    port = 7001
    sockets = 2
    cores_per_socket = 16
    memory_gib = 64
    sharing = "shard"
    devices = [{model = "h100-sxm-80g", files = "/dev/nvidia[0-3]"}]
    """
    read = read_hosts_file(text.encode())
    first, second = read.cluster.hosts
    assert (first.port, second.port) == (7001, 7002) and (read.ssh.user, read.ssh.port) == ("admin", 2222)
    assert read.cluster.controller == "a1"
    assert first.described is not None and first.described.cpus == 32
    files = ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2", "/dev/nvidia3")
    assert first.described.devices == (Devices("h100-sxm-80g", files),)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("[cluster]\nname = 'x'\n", ["hosts"]),
        ("hosts = 3", ["hosts"]),
        ("[[hosts]]\nname = 'a b'\n", ["hosts[0].name"]),
        ("[[hosts]]\nname = 'a'\nadress = 'b'\n", ["hosts[0].adress"]),
        ("[[hosts]]\nname = 'a'\n[[hosts]]\nname = 'a'\n", ["hosts[1].name"]),
        ("[cluster]\ncontroller = 'x'\n[[hosts]]\nname = 'a'\n", ["cluster.controller"]),
        ("[[hosts]]\nname = 'n[1-3]'\naddress = '10.0.0.[1-2]'\n", ["hosts[0].address"]),
        ("[[hosts]]\nname = 'a'\ncompute = false\n", ["hosts"]),
        ("[[hosts]]\nname = 'a'\nmemory_gib = 3\n", ["hosts[0].cores_per_socket"]),
        ("[[hosts]]\nname = 'a'\nport = true\nshares = 0\n", ["hosts[0].shares", "hosts[0].port", "hosts[0].port"]),
        ("[[hosts]]\nname = 'a'\nsharing = 'slices'\n[more]\n", ["hosts[0].sharing", "more"]),
        ("[[hosts]]\nname = 'a'\naddress = '-oProxyCommand=x'\n", ["hosts[0].address"]),
        ("[cluster]\nshared_folder = \"/x';reboot'\"\n[[hosts]]\nname = 'a'\n", ["cluster.shared_folder"]),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place(text: str, places: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_hosts_file(text.encode(), "my.toml")
    assert [problem.field for problem in caught.value.problems] == places
    assert {problem.file for problem in caught.value.problems} == {"my.toml"}


@given(st.binary(max_size=200))
def test_anything_else_is_refused_and_never_an_error_of_ours(content: bytes) -> None:
    try:
        read_hosts_file(content)
    except InvalidInput:
        return
    raise AssertionError("no random bytes name a host")
