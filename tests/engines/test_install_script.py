"""The installation script of a planned cluster makes a fresh Debian a working controller, accounting host and compute node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.center import Pearl
from tests.engines.slurm_cluster import free_ports
from tests.engines_present import has_program, need

HOSTS = """\
[cluster]
name = "fresh"
controller = "head"
accounting = "head"
slurmctld_port = {0}
slurmd_port = {1}
slurmdbd_port = {2}
slurmrestd_port = {3}
[[hosts]]
name = "head"
address = "127.0.0.1"
cores_per_socket = 2
memory_gib = 8
"""
ENTER = """\
set -e
hostname head
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
cd "$ROOT"
mkdir -p old
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmpfs run
pivot_root . old
umount -l /old
cd /
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
sh cluster/install.sh
sh cluster/install.sh
echo changed >>/etc/slurm/gres.conf
sh cluster/install.sh --check && exit 9
sh cluster/install.sh
srun -N1 hostname
"""
"""Installs twice, since it may be run again; a changed file is noticed by the check and put right by the next run."""


@pytest.mark.slow
def test_a_fresh_debian_becomes_a_cluster_of_one(tmp_path: Path) -> None:
    for program in ("debootstrap", "unshare", "apt-get"):
        need(has_program(program), program)
    if os.geteuid() != 0:
        pytest.skip("a Debian of its own needs root")
    root = tmp_path / "root"
    _make_debian(root)
    (tmp_path / "hosts.toml").write_text(HOSTS.format(*free_ports(4)))
    Pearl({}).right("cluster", "plan", str(tmp_path / "hosts.toml"), "--out", str(root / "cluster"))
    done = subprocess.run(
        ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER],
        env={**os.environ, "ROOT": str(root)}, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("This host is ready.") == 3
    assert done.stdout.count("FAILED") == 1 and "FAILED  gres.conf is the planned one" in done.stdout
    assert done.stdout.splitlines()[-1] == "head"


def _make_debian(root: Path) -> None:
    """Make a minimal Debian 12 from the mirror that this machine's apt uses."""
    sites = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    made = ["debootstrap", "--variant=minbase", "bookworm", str(root), *sites[:1]]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    for name in ("hosts", "resolv.conf"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    shutil.copytree("/etc/apt/apt.conf.d", root / "etc/apt/apt.conf.d", dirs_exist_ok=True)
