"""Access of probes to another machine, through this machine's OpenSSH client with its configuration, agent and known hosts."""

from __future__ import annotations

import shlex
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pearlstreet.base.errors import ConfigurationError, Unavailable
from pearlstreet.base.text import text
from pearlstreet.compute.hardware.access import CommandResult, HostAmounts, LocalHost

T = TypeVar("T")
CONNECT_TIMEOUT_S = 10
SSH_FAILED = 255
"""Exit code with which ssh itself fails; others are those of the command."""
_KIB = 1024
_SHELL = "PATH=$PATH:/usr/sbin:/sbin:/usr/local/bin LC_ALL=C"
"""What precedes each command: tools of administrators are often not on the path of ssh."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """A machine that ssh reaches, and how. Empty fields: as the user's ssh configuration says."""

    address: str
    user: str = ""
    port: int | None = None
    key_file: str = ""
    known_hosts_file: str = ""

    def options(self) -> list[str]:
        """Return the options of ssh; it asks no questions, because nobody may be there to answer them."""
        found = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"]
        if self.user:
            found += ["-l", self.user]
        if self.port is not None:
            found += ["-p", str(self.port)]
        if self.key_file:
            found += ["-i", str(Path(self.key_file).expanduser()), "-o", "IdentitiesOnly=yes"]
        if self.known_hosts_file:
            found += ["-o", f"UserKnownHostsFile={self.known_hosts_file}"]
        return found


@dataclass(slots=True)
class SshHost:
    """Another machine as probes see it. One connection serves all calls; `close` ends it."""

    target: SshTarget
    _local: LocalHost = field(default_factory=LocalHost)
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _read: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    def connect(self) -> None:
        """Open the connection. Raises Unavailable with what ssh says, ConfigurationError where there is no ssh."""
        answer = self.run(["true"], timeout_s=CONNECT_TIMEOUT_S * 2)
        if answer.status == "missing":
            raise ConfigurationError(
                text("This machine has no ssh"), hint=text("Debian: apt-get install openssh-client")
            )
        if answer.status != "ok":
            said = answer.stderr.strip().splitlines()
            raise Unavailable(
                text(
                    "{address} cannot be reached by ssh: {problem}",
                    address=self.target.address,
                    problem=said[-1] if said else answer.status,
                ),
                hint=text("Try: {command}", command=f"ssh {shlex.join(self._shown())} true"),
            )

    def run(self, command: Sequence[str], *, timeout_s: float, stdin: str = "") -> CommandResult:
        return self._run_line(shlex.join(command), timeout_s=timeout_s, stdin=stdin)

    def _run_line(self, line: str, *, timeout_s: float, stdin: str = "") -> CommandResult:
        """Run a line of the other machine's shell."""
        answer = self._local.run(
            [
                "ssh",
                *self._multiplexed(),
                *self.target.options(),
                "--",
                self.target.address,
                f"{_SHELL} {line}",
            ],
            timeout_s=timeout_s,
            stdin=stdin,
        )
        if answer.code == 127:
            return CommandResult("missing")
        return answer

    def read_text(self, path: str) -> str | None:
        answer = self.run(["cat", "--", path], timeout_s=CONNECT_TIMEOUT_S * 2)
        return answer.stdout if answer.status == "ok" else None

    def list_folder(self, path: str) -> tuple[str, ...]:
        answer = self.run(["ls", "-1A", "--", path], timeout_s=CONNECT_TIMEOUT_S * 2)
        return tuple(sorted(answer.stdout.splitlines())) if answer.status == "ok" else ()

    def read_in_each(self, folder: str, file: str) -> Mapping[str, str]:
        """Read all in one command: a server has hundreds of PCI functions, and each vendor's probe asks for all of them.

        Answers are kept until `close`: probes ask what identifies devices, which does not change.
        """
        key = (folder, file)
        if key not in self._read:
            pattern = f"{shlex.quote(folder)}/*/{shlex.quote(file)}"
            answer = self._run_line(f"grep -s -m 1 '' /dev/null {pattern}", timeout_s=CONNECT_TIMEOUT_S * 2)
            rows = (
                line.removeprefix(f"{folder}/").partition(f"/{file}:") for line in answer.stdout.splitlines()
            )
            self._read[key] = {name: content for name, _, content in rows}
        return self._read[key]

    def amounts(self) -> HostAmounts:
        """Return what the whole machine has: nothing of it is ours yet."""
        disk = (
            self.run(["df", "-k", "--output=avail,size", "/"], timeout_s=30.0).stdout.split() + ["0"] * 4
        )[-4:]
        cpus = self.run(["nproc", "--all"], timeout_s=30.0).stdout.strip()
        memory = {
            line.partition(":")[0]: line.partition(":")[2].split()
            for line in (self.read_text("/proc/meminfo") or "").splitlines()
        }
        total = (memory.get("MemTotal") or ["0"])[0]
        return HostAmounts(
            name=(self.read_text("/proc/sys/kernel/hostname") or self.target.address).strip(),
            cpus=float(cpus) if cpus.isdecimal() else 0.0,
            memory_bytes=int(total) * _KIB if total.isdecimal() else 0,
            disk_free_bytes=int(disk[2]) * _KIB if disk[2].isdecimal() else 0,
            disk_total_bytes=int(disk[3]) * _KIB if disk[3].isdecimal() else 0,
        )

    def nvml(self) -> None:
        """Return None: a library of the other machine cannot be called from here; nvidia-smi is asked instead."""

    def guarded(self, name: str, work: Callable[[], T], *, timeout_s: float) -> T | None:
        return self._local.guarded(name, work, timeout_s=timeout_s)

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._folder is not None:
                self._local.run(
                    ["ssh", *self._control(self._folder.name), "-O", "exit", "--", self.target.address],
                    timeout_s=CONNECT_TIMEOUT_S,
                )
                self._folder.cleanup()
                self._folder = None
            self._read.clear()

    def _multiplexed(self) -> list[str]:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="pearl-ssh-")
            folder = self._folder.name
        return [*self._control(folder), "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]

    @staticmethod
    def _control(folder: str) -> list[str]:
        return ["-o", f"ControlPath={folder}/c"]

    def _shown(self) -> list[str]:
        return [*self.target.options(), self.target.address]
