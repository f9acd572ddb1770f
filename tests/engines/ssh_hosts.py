"""Hosts that are reached by ssh: network namespaces of this machine with an OpenSSH server in each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines_present import has_program, need

READY_WITHIN_S = 20.0
SSHD = "/usr/sbin/sshd"
_CONFIG = """\
Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
"""


@dataclass(frozen=True)
class SshHosts:
    """Running hosts: their addresses, and the files with which ssh trusts them and they trust us."""

    addresses: Sequence[str]
    key: Path
    known_hosts: Path


@contextlib.contextmanager
def ssh_hosts(folder: Path, count: int) -> Iterator[SshHosts]:
    """Make hosts and end them. Skips without root, OpenSSH's server or network namespaces."""
    need(Path(SSHD).exists() and has_program("ssh"), "OpenSSH's client and server")
    need(has_program("ip"), "iproute2")
    if os.geteuid() != 0:
        pytest.skip("network namespaces with servers in them need root")
    for name in ("host_key", "user_key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    network, servers, names, addresses = os.getpid() % 200, [], [], []
    try:
        for number in range(1, count + 1):
            name, address = f"pearl{os.getpid()}-{number}", f"10.213.{network}.{4 * number + 2}"
            names.append(name)
            addresses.append(address)
            _make_namespace(
                name, f"p{os.getpid() % 100_000}h{number}", f"10.213.{network}.{4 * number + 1}", address
            )
            config = folder / f"sshd-{number}"
            config.write_text(_CONFIG.format(address=address, folder=folder))
            command = [
                "ip",
                "netns",
                "exec",
                name,
                SSHD,
                "-D",
                "-f",
                str(config),
                "-E",
                str(folder / f"log-{number}"),
            ]
            servers.append(subprocess.Popen(command))
        known = folder / "known_hosts"
        known.write_text("".join(_host_key(address) for address in addresses))
        yield SshHosts(addresses, folder / "user_key", known)
    finally:
        for server in servers:
            server.terminate()
            server.wait(10)
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _make_namespace(name: str, link: str, ours: str, theirs: str) -> None:
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "address", "add", f"{ours}/30", "dev", link)
    _run("ip", "link", "set", link, "up")
    for words in (
        ("address", "add", f"{theirs}/30", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _run("ip", "-n", name, *words)


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def _host_key(address: str) -> str:
    """Return the line of a host for known_hosts, once its server answers."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        scan = ["ssh-keyscan", "-T", "2", "-t", "ed25519", address]
        found = subprocess.run(scan, capture_output=True, text=True, check=False).stdout
        if found:
            return found
        assert time.monotonic() < deadline, f"no ssh server at {address}"
        time.sleep(0.1)
