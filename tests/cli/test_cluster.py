"""`pearl cluster plan`: this machine alone, hosts that are reached by ssh, and what cannot be done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.compute.hardware.access import LocalHost
from pearlstreet.compute.hardware.ssh_host import SshHost, SshTarget
from tests.cli.center import Pearl
from tests.engines.ssh_hosts import SshHosts, ssh_hosts

PEARL = Pearl({"PEARL_LANG": "en"})


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    with ssh_hosts(tmp_path_factory.mktemp("ssh"), 2) as made:
        yield made


def _hosts_file(folder: Path, hosts: SshHosts, *more: str) -> str:
    names = "".join(f'[[hosts]]\nname = "h{n}"\naddress = "{a}"\n' for n, a in enumerate(hosts.addresses, 1))
    file = folder / "hosts.toml"
    ssh = f'[ssh]\nuser = "root"\nkey = "{hosts.key}"\nknown_hosts = "{hosts.known_hosts}"\n'
    file.write_text(f'[cluster]\nname = "river"\ncontroller = "h1"\n{ssh}{names}' + "".join(more))
    return str(file)


def test_this_machine_alone(tmp_path: Path) -> None:
    answer = PEARL.right("cluster", "plan", "--out", str(tmp_path / "out"), "--json").value
    (host,) = answer["hosts"]
    assert host["cpus"] == os.cpu_count() and "slurm.conf" in answer["new"]
    assert (tmp_path / "out" / "munge.key").stat().st_mode & 0o077 == 0


def test_hosts_are_asked_by_ssh(tmp_path: Path, hosts: SshHosts) -> None:
    file, out = _hosts_file(tmp_path, hosts), str(tmp_path / "out")
    answer = PEARL.right("cluster", "plan", file, "--out", out)
    assert "h1" in answer.out and "controller compute" in answer.out and "install.sh" in answer.out
    conf = (tmp_path / "out" / "slurm.conf").read_text()
    assert f"CPUs={os.cpu_count()}" in conf and hosts.addresses[1] in conf
    again = PEARL.right("cluster", "plan", file, "--out", out, "--json").value
    assert again["changed"] == [] and len(again["hosts"]) == 2


def test_a_file_of_each_folder_is_read_at_once_and_as_this_machine_reads_it(hosts: SshHosts) -> None:
    target = SshTarget(hosts.addresses[0], "root", None, str(hosts.key), str(hosts.known_hosts))
    there, here = SshHost(target), LocalHost()
    try:
        for folder, file in (
            ("/sys/block", "queue/rotational"),
            ("/sys/none", "size"),
        ):
            read = here.read_in_each(folder, file)
            assert there.read_in_each(folder, file) == {name: value.strip() for name, value in read.items()}
    finally:
        there.close()


def test_nothing_is_written_unless_every_host_answers(tmp_path: Path, hosts: SshHosts) -> None:
    closed = '[[hosts]]\nname = "h9"\naddress = "127.0.0.1"\n'
    stranger = f'[ssh]\nuser = "root"\nkey = "{tmp_path}/none"\nknown_hosts = "{hosts.known_hosts}"\n'
    file = _hosts_file(tmp_path, hosts, closed)
    text = Path(file).read_text()
    for content, names in (
        (text, ["h9"]),
        (text.replace(text[text.index("[ssh]") : text.index("[[")], stranger), ["h1", "h2", "h9"]),
    ):
        Path(file).write_text(content)
        answer = PEARL("cluster", "plan", file, "--out", str(tmp_path / "out"))
        assert answer.code != 0 and all(f"{name} " in answer.err for name in names)
        assert "nothing was written" in answer.err and not (tmp_path / "out").exists()


def test_changes_are_shown_and_not_written_without_a_yes(tmp_path: Path) -> None:
    file, out = tmp_path / "hosts.toml", tmp_path / "out"
    described = '[[hosts]]\nname = "a"\naddress = "10.0.0.1"\ncores_per_socket = 8\nmemory_gib = {gib}\n'
    file.write_text(described.format(gib=64))
    PEARL.right("cluster", "plan", str(file), "--out", str(out))
    before = (out / "slurm.conf").read_text()
    file.write_text(described.format(gib=128))
    answer = PEARL("cluster", "plan", str(file), "--out", str(out))
    assert answer.code != 0 and "--yes" in answer.err and "+NodeName=a" in answer.err
    assert (out / "slurm.conf").read_text() == before
    PEARL.right("cluster", "plan", str(file), "--out", str(out), "--yes")
    assert "RealMemory=129761" in (out / "slurm.conf").read_text()


def test_a_file_that_is_not_there_or_wrong_is_named(tmp_path: Path) -> None:
    missing = PEARL("cluster", "plan", str(tmp_path / "none.toml"))
    assert missing.code != 0 and "none.toml" in missing.err
    (tmp_path / "bad.toml").write_text("[[hosts]]\nnames = 'a'\n")
    wrong = PEARL("cluster", "plan", str(tmp_path / "bad.toml"))
    assert wrong.code != 0 and "hosts[0].names" in wrong.err and "hosts[0].name " in wrong.err
