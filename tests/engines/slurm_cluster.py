"""A real Slurm cluster on this machine: virtual nodes with pretended GPUs, in a folder of its own, on free ports of loopback.

`SlurmCluster` starts munged, slurmctld, one slurmd for each node and slurmrestd, and ends them by their process ids. Slurm runs jobs as
Unix users, so it needs root, and existing accounts of Debian serve as the users of organisations.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines_present import has_program, need

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmrestd", "squeue", "scontrol", "sacct")
JWT_PLUGIN = "/usr/lib/*-linux-gnu/slurm*/auth_jwt.so"
REST_USER = "nobody"
"""slurmrestd refuses to run as root and as Slurm's own user."""
JOB_USERS = ("games", "news", "irc")
"""Accounts of Debian that serve as users of organisations."""
READY_WITHIN_S = 60.0
GONE_WITHIN_S = 10.0

CONF = """\
ClusterName=pearltest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/etc/jwt.key
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout={slurmd_timeout_s}
KillWait=5
MinJobAge={job_age_s}
MaxJobCount=200000
MaxArraySize=100001
MpiDefault=none
GresTypes=gpu,shard
SlurmdParameters=config_overrides
{more}
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=32 Sockets=2 CoresPerSocket=16 "
    "ThreadsPerCore=1 RealMemory=64000 Gres=gpu:h100:{gpus},shard:{shards} State=UNKNOWN"
)
SHARDS_PER_GPU = 10


def need_slurm() -> None:
    """Skip (or fail, when parts are required) where a cluster cannot run."""
    for program in PROGRAMS:
        need(has_program(program) or Path("/usr/sbin", program).exists(), f"Slurm's {program}")
    need(list(Path("/").glob(JWT_PLUGIN.lstrip("/"))), "Slurm's plugin for JSON web tokens")
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as other users, so its tests need root")


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """Size of a cluster: virtual nodes, pretended GPUs of each, and how patient Slurm is."""

    nodes: int = 8
    gpus: int = 8
    slurmd_timeout_s: int = 20
    job_age_s: int = 300
    """Time for which Slurm remembers a job that is over; it looks once a minute."""
    namespace: str = ""
    """Network namespace in which it runs, without slurmrestd; empty: this machine's own."""
    root: Path | None = None
    """Folder of another Debian whose Slurm runs, by chroot; None: this machine's."""
    shares_folder: bool = True
    """Whether nodes see the shared folder; otherwise each has a mount namespace with an empty one in its place, and a /var/tmp of its own."""


class SlurmCluster:
    """A running cluster; `close` ends it and deletes its files."""

    def __init__(self, size: ClusterSize = ClusterSize(), *, more: str = "") -> None:
        need_slurm()
        self.size = size
        self._prefix = ("chroot", str(size.root)) if size.root else ()
        if size.namespace:
            self._prefix = ("nsenter", f"--net=/run/netns/{size.namespace}")
        self._mounts: list[Path] = []
        self.folder = Path(tempfile.mkdtemp(prefix="pearl-slurm-"))
        self.folder.chmod(0o755)
        self.shared = self.folder / "shared"
        self.names = tuple(f"n{number}" for number in range(1, size.nodes + 1))
        self.rest_port = 0
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._write("\n".join((more, self.more_conf())))
            self._mount()
            self._start_munged()
            self.start_accounting()
            self.start("slurmctld")
            for name in self.names:
                self.start(name)
            if not size.namespace:
                self.start("slurmrestd")
            self._wait_until_idle()
        except BaseException:
            self.close()
            raise

    # -- what an engine is told

    @property
    def conf(self) -> Path:
        """Path of slurm.conf."""
        return self.folder / "etc" / "slurm.conf"

    @property
    def jwt_key(self) -> Path:
        """Path of the key that signs tokens."""
        return self.folder / "etc" / "jwt.key"

    @property
    def rest(self) -> str:
        """Address of slurmrestd."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment in which Slurm's commands reach this cluster."""
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "SLURM_CONF": str(self.conf)}

    def run(self, *command: str, user: str | None = None) -> str:
        """Run a command of Slurm, by default as root; its output."""
        done = subprocess.run(
            self._as(user, command),
            capture_output=True,
            text=True,
            check=False,
            env=dict(self.environment),
            cwd="/",
        )
        assert done.returncode == 0, (command, done.stderr, done.stdout)
        return done.stdout

    def submit_as_direct_user(self, *options: str, script: str = "sleep 600", user: str = "news") -> int:
        """Submit a job as a user of the cluster who does not come through us; its id."""
        words = ("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}")
        return int(self.run(*words, user=user).split(";")[0])

    # -- what a cluster with more daemons adds

    rest_plugins = "openapi/v0.0.38"

    def more_conf(self) -> str:
        """Return more lines of slurm.conf."""
        return ""

    def start_accounting(self) -> None:
        """Start what slurmctld needs to be up; here nothing."""

    def daemons(self) -> list[str]:
        """Return the daemons in the order in which they end."""
        return [*self.names, "slurmrestd", "slurmctld", "munged"]

    # -- daemons

    def start(self, name: str) -> None:
        """Start a daemon: `slurmctld`, `slurmrestd` or the slurmd of a node."""
        if name == "slurmctld":
            self._spawn(name, ["slurmctld", "-D", "-f", str(self.conf)])
            self._wait(lambda: self._try("scontrol", "ping").find("is UP") >= 0, "slurmctld does not answer")
        elif name == "slurmrestd":
            self.rest_port = self.rest_port or free_ports(1)[0]
            # No database runs here, and slurmrestd does not start with the database's part of the API then.
            api = (
                ["-s", "slurmctld", "-d", "v0.0.42,v0.0.41,v0.0.40"]
                if self.size.root
                else ["-s", self.rest_plugins]
            )
            command = ["slurmrestd", "-a", "rest_auth/jwt", *api, "-t", "10"]
            self._spawn(name, [*command, f"127.0.0.1:{self.rest_port}"], user=REST_USER, SLURM_JWT="daemon")
            self._wait(lambda: _answers(self.rest_port), "slurmrestd does not answer")
        else:
            (self.folder / "spool" / name).mkdir(exist_ok=True)
            self._spawn(
                name, [*self._apart(), "slurmd", "-D", "-f", str(self.conf), "-N", name], is_apart=True
            )

    def _apart(self) -> list[str]:
        """Return the beginning of a command line that gives a node its own view of the files: another Debian, or no shared folder."""
        if self.size.root:
            # In a chroot the kernel allows no user namespaces, which sandboxes need; as root of a mount namespace it does.
            enter = (
                f"mount --rbind {self.size.root} {self.size.root} && cd {self.size.root} && mkdir -p .host"
            )
            enter += " && pivot_root . .host && umount -l /.host"
            return ["unshare", "--mount", "sh", "-c", f'{enter} && exec "$@"', "sh"]
        if self.size.shares_folder:
            return []
        mounts = f"mount -t tmpfs -o mode=755 none {self.shared} && mount -t tmpfs -o mode=1777 none /var/tmp"
        return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon and wait for its end."""
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        daemon.send_signal(how)
        try:
            daemon.wait(GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def cancel_everything(self) -> None:
        """End all jobs and wait until the nodes are free."""
        with contextlib.suppress(AssertionError):
            jobs = self.run("squeue", "-h", "-o", "%A").split()
            if jobs:
                self.run("scancel", *jobs)
                self.run("scancel", "--signal=KILL", "--full", *jobs)
            self._wait(lambda: not self.run("squeue", "-h", "-o", "%A").split(), "jobs do not end")

    def close(self) -> None:
        """End every daemon and every job, and delete the files."""
        if "slurmctld" in self._daemons:
            with contextlib.suppress(AssertionError, TimeoutError):
                self.cancel_everything()
        for name in self.daemons():
            self.stop(name)
        for pid in self._left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for target in reversed(self._mounts):
            subprocess.run(["umount", "--lazy", target], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _left_behind(self) -> list[int]:
        """Return processes that Slurm started for this cluster, such as a slurmstepd whose slurmd was killed."""
        mark = f"SLURM_CONF={self.conf}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return [pid for pid in found if pid != os.getpid()]

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        is_apart: bool = False,
        **environment: str,
    ) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                list(command) if is_apart and self.size.root else self._as(user, command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**self.environment, **environment},
                cwd="/",
                start_new_session=True,
            )

    def _as(self, user: str | None, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command as a user, where the cluster's programs are."""
        if user is None:
            return [*self._prefix, *command]
        account = pwd.getpwnam(user)
        identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return [*self._prefix, "setpriv", *identity, *command]

    def _mount(self) -> None:
        """Show /proc, /dev and the cluster's folder where its programs are."""
        for path in (Path("/proc"), Path("/dev"), self.folder) if self.size.root else ():
            target = self.size.root / path.relative_to("/")  # type: ignore[operator]
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--bind", path, target], check=True)
            self._mounts.append(target)

    def _start_munged(self) -> None:
        run = self.folder / "run"
        options = [
            f"--socket={run}/munge.sock",
            f"--key-file={self.folder}/etc/munge.key",
            "--num-threads=10",
        ]
        options += [f"--pid-file={run}/munged.pid", f"--log-file={self.folder}/log/munged.log"]
        options += [f"--seed-file={run}/munged.seed", "--foreground", "--force"]
        self._spawn("munged", ["munged", *options])
        self._wait(lambda: _is_socket(run / "munge.sock"), "munged does not listen")

    def _wait_until_idle(self) -> None:
        def idle() -> bool:
            states = self._try("sinfo", "-h", "-N", "-p", "batch", "-o", "%t").split()
            return len(states) == len(self.names) and set(states) == {"idle"}

        self._wait(idle, "nodes do not become idle")

    def _try(self, *command: str) -> str:
        with contextlib.suppress(AssertionError):
            return self.run(*command)
        return ""

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}\n{self._last_words()}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        logs = sorted((self.folder / "log").glob("*"))
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-600:]}" for path in logs)

    # -- files

    def _write(self, more: str) -> None:
        for name in ("etc", "run", "log", "state", "spool", "dev", "shared"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o755)
        for name, size in (("munge.key", 1024), ("jwt.key", 32)):
            path = self.folder / "etc" / name
            path.write_bytes(secrets.token_bytes(size))
            path.chmod(0o400)
        for number in range(self.size.gpus):
            os.mknod(self.folder / "dev" / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        ctld_port, *ports = free_ports(len(self.names) + 1)
        host, shards = socket.gethostname(), self.size.gpus * SHARDS_PER_GPU
        nodes = "\n".join(
            NODE.format(name=name, host=host, port=port, gpus=self.size.gpus, shards=shards)
            for name, port in zip(self.names, ports, strict=True)
        )
        self.conf.write_text(
            CONF.format(
                host=host,
                folder=self.folder,
                ctld_port=ctld_port,
                slurmd_timeout_s=self.size.slurmd_timeout_s,
                job_age_s=self.size.job_age_s,
                more=more,
                nodes=nodes,
            )
        )
        (self.folder / "etc" / "cgroup.conf").write_text("CgroupPlugin=disabled\n" if self.size.root else "")
        devices = f"{self.folder}/dev/gpu[0-{self.size.gpus - 1}]"
        (self.folder / "etc" / "gres.conf").write_text(
            "".join(
                f"NodeName={name} Name=gpu Type=h100 File={devices}\nNodeName={name} Name=shard Count={shards}\n"
                for name in self.names
            )
        )


def _is_socket(path: Path) -> bool:
    return path.exists() and stat.S_ISSOCK(path.stat().st_mode)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Return ports that are free on loopback now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
