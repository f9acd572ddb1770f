"""A real Slurm cluster of virtual nodes with pretended accelerators on this machine, for the demo.

Slurm's daemons run from the files that `pearl cluster plan` would write, in a folder of their own and on free ports of loopback.
They outlive the command that starts them; a file in the demo's data folder says which processes they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import SystemRng
from pearlstreet.base.text import Text, text
from pearlstreet.compute.clusters.keys import JWT_KEY, MUNGE_KEY, new_keys
from pearlstreet.compute.clusters.model import ClusterEntry, Devices, HostEntry, HostFacts, PlannedFile
from pearlstreet.compute.clusters.plan import plan_cluster
from pearlstreet.compute.clusters.slurm_files import Folders, Options
from pearlstreet.compute.clusters.writing import write
from pearlstreet.compute.engines.local.supervisor import files

NODES, DEVICES, MODEL, PARTITION = 8, 8, "h100-sxm-80g", "pearl"
PACKAGES = "slurmctld slurmd slurmrestd slurm-client slurm-wlm-jwt-plugin munge bubblewrap"
PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "slurmrestd",
    "scontrol",
    "squeue",
    "scancel",
    "sinfo",
    "setpriv",
)
JWT_PLUGINS = ("lib/*-linux-gnu/slurm*/auth_jwt.so", "lib64/slurm/auth_jwt.so", "lib/slurm*/auth_jwt.so")
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
REST_USERS, JOB_USERS = ("nobody",), ("games", "news", "irc", "lp")
"""Accounts of the system without a login: slurmrestd refuses to run as root, and jobs run as a user of their organisation."""
STATE, STEP_S, STOP_S = "cluster.json", 60.0, 10.0
NULL_DEVICE = (1, 3)
"""Device number of /dev/null, which stands for each accelerator."""


@dataclass(frozen=True, slots=True)
class VirtualCluster:
    """A cluster that runs: what an engine is told of it, and its processes."""

    folder: Path
    rest: str
    """Address of slurmrestd."""
    user: str
    """Unix user as whom jobs run."""
    isolation: str
    processes: tuple[Mapping[str, Any], ...]
    """Pid and start time of each daemon, munged first."""

    @property
    def options(self) -> Mapping[str, str]:
        """Keys of the engine's table in the settings."""
        return {
            "kind": "slurm",
            "rest": self.rest,
            "jwt_key": str(self.folder / "etc" / JWT_KEY),
            "shared": str(self.folder / "shared"),
            "users": self.user,
            "partition": PARTITION,
            "isolation": self.isolation,
            "models": f"{MODEL}={MODEL}",
            "slurm_conf": str(self.folder / "etc" / "slurm.conf"),
        }


def missing_part() -> tuple[Text, Text] | None:
    """Return why no cluster can run on this machine and what to do about it; None: one can."""
    if os.geteuid() != 0:
        return (
            text("Slurm starts jobs as other users, which only root may do"),
            text("Run it as root: sudo make demo-cluster"),
        )
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if not any(list(Path("/usr").glob(pattern)) for pattern in JWT_PLUGINS):
        absent.append("auth_jwt.so")
    if absent:
        return (
            text("Parts of Slurm are not installed: {parts}", parts=", ".join(absent)),
            text("Install them: {command}", command=f"apt-get install --no-install-recommends {PACKAGES}"),
        )
    if not _existing(REST_USERS) or not _existing(JOB_USERS):
        return (
            text("This system has no account as whom jobs could run"),
            text("Create one: {command}", command="useradd --system games"),
        )
    return None


def read_cluster(data: Path) -> VirtualCluster | None:
    """Return the cluster that runs for a data folder, whole; None: there is none."""
    state = _read_state(data)
    if state is None or not all(is_alive(process) for process in state["processes"]):
        return None
    return VirtualCluster(
        Path(state["folder"]), state["rest"], state["user"], state["isolation"], tuple(state["processes"])
    )


def start_cluster(data: Path, progress: Callable[[Text], None]) -> VirtualCluster:
    """Start a cluster for a data folder and return it once its nodes are idle. Raises ConfigurationError and leaves nothing."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop_cluster(data)
    folder = Path(tempfile.mkdtemp(prefix="pearl-cluster-", dir="/var/tmp"))
    starter = _Starter(data, folder)
    try:
        return starter.run(progress)
    except BaseException:
        stop_cluster(data)
        raise


def stop_cluster(data: Path) -> bool:
    """End the jobs and daemons of a data folder's cluster and delete its files; whether there was one."""
    state = _read_state(data)
    if state is None:
        return False
    folder, alive = Path(state["folder"]), [item for item in state["processes"] if is_alive(item)]
    if alive:
        _cancel_jobs(folder)
    # slurmctld and the nodes still need munged while they end.
    for process in reversed(alive):
        _end(process)
    for pid in _left_behind(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    (data / STATE).unlink(missing_ok=True)
    return True


class _Starter:
    """Starts the parts of a cluster one after another and writes down each process as soon as it exists."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._data, self._folder = data, folder
        self._names = [f"n{number}" for number in range(1, NODES + 1)]
        ctld, rest, *ports = _free_ports(NODES + 2)
        self._ctld_port, self._rest_port, self._ports = ctld, rest, ports
        self._user, self._processes = _existing(JOB_USERS)[0], list[Mapping[str, Any]]()
        self._isolation = "bubblewrap" if _has_bubblewrap(self._user) else "none"
        self._keep()

    def run(self, progress: Callable[[Text], None]) -> VirtualCluster:
        """Start every part. Raises ConfigurationError."""
        self._write()
        progress(
            text(
                "Starting munge, slurmctld and {count} nodes in {folder} …",
                count=NODES,
                folder=str(self._folder),
            )
        )
        run, conf = self._folder / "run", str(self._folder / "etc" / "slurm.conf")
        munge = ["munged", "--foreground", "--force", "--num-threads=10", f"--socket={run}/munge.sock"]
        munge += [f"--key-file={self._folder}/etc/{MUNGE_KEY}", f"--pid-file={run}/munged.pid"]
        munge += [f"--log-file={self._folder}/log/munged.log", f"--seed-file={run}/munged.seed"]
        self._spawn("munged", munge)
        self._wait("munged", (run / "munge.sock").is_socket)
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", conf])
        self._wait("slurmctld", lambda: "is UP" in _run(self._folder, "scontrol", "ping"))
        for name in self._names:
            (self._folder / "spool" / name).mkdir()
            self._spawn(name, ["slurmd", "-D", "-f", conf, "-N", name])
        self._wait("slurmd", self._is_idle)
        rest = ["slurmrestd", "-a", "rest_auth/jwt", *_rest_plugins(), f"127.0.0.1:{self._rest_port}"]
        self._spawn("slurmrestd", [*_as(_existing(REST_USERS)[0]), *rest], SLURM_JWT="daemon")
        self._wait("slurmrestd", lambda: _answers(self._rest_port))
        return self._keep()

    def _keep(self) -> VirtualCluster:
        rest = f"http://127.0.0.1:{self._rest_port}"
        made = VirtualCluster(self._folder, rest, self._user, self._isolation, tuple(self._processes))
        state = {"folder": str(made.folder), "rest": rest, "user": made.user, "isolation": made.isolation}
        files.write_json(str(self._data), STATE, {**state, "processes": list(made.processes)})
        return made

    def _write(self) -> None:
        self._folder.chmod(0o755)
        for name in ("etc", "run", "log", "state", "spool", "dev", "shared"):
            (self._folder / name).mkdir(mode=0o755)
            (self._folder / name).chmod(0o755)  # whatever the umask: jobs and slurmrestd must pass
        for number in range(DEVICES):
            os.mknod(self._folder / "dev" / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(*NULL_DEVICE))
        write(self._folder / "etc", self._files())
        (self._folder / "etc").chmod(0o755)

    def _files(self) -> Mapping[str, PlannedFile]:
        root = self._folder
        folders = Folders(
            etc=f"{root}/etc",
            state=f"{root}/state",
            spool=f"{root}/spool/%n",
            run=f"{root}/run",
            log=f"{root}/log",
            munge_socket=f"{root}/run/munge.sock",
        )
        devices = Devices(MODEL, tuple(f"{root}/dev/gpu{number}" for number in range(DEVICES)))
        facts = HostFacts(2, 16, 1, 256 * 1024, (devices,), hostname=socket.gethostname())
        hosts = tuple(
            HostEntry(name, "127.0.0.1", rack=f"r{number * 2 // NODES + 1}", port=port, described=facts)
            for number, (name, port) in enumerate(zip(self._names, self._ports, strict=True))
        )
        entry = ClusterEntry(
            "pearldemo", self._names[0], partition=PARTITION, slurmctld_port=self._ctld_port, hosts=hosts
        )
        options = Options(folders, slurm_user="root", has_cgroups=False, is_virtual=True)
        keys = new_keys(SystemRng(), accounting=False)
        planned = dict(plan_cluster(entry, dict.fromkeys(self._names, facts), keys, options).files)
        # Slurm looks for the file even where no control groups are used.
        planned["cgroup.conf"] = PlannedFile(b"CgroupPlugin=disabled\n" if _version() >= (23, 11) else b"")
        return planned

    def _spawn(self, name: str, command: Sequence[str], **environment: str) -> None:
        with (self._folder / "log" / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**_environment(self._folder), **environment},
                cwd="/",
                start_new_session=True,
            )
        identity = {"start_ticks": files.start_ticks(process.pid), "boot_id": files.boot_id()}
        self._processes.append({"name": name, "pid": process.pid, **identity})
        self._keep()

    def _wait(self, what: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STEP_S
        while not is_there():
            if time.monotonic() > deadline or not all(is_alive(item) for item in self._processes):
                words = " ".join(self._last_words(what).split())[-500:]
                raise ConfigurationError(
                    text("{program} did not start: {words}", program=what, words=words or "-")
                )
            time.sleep(0.1)

    def _last_words(self, what: str) -> str:
        name = self._names[0] if what == "slurmd" else what
        logs = sorted((self._folder / "log").glob(f"*{name}*"))
        return "\n".join(path.read_text(errors="replace")[-400:] for path in logs)

    def _is_idle(self) -> bool:
        states = _run(self._folder, "sinfo", "-h", "-N", "-o", "%t").split()
        return len(states) == NODES and set(states) == {"idle"}


def _existing(names: Sequence[str]) -> list[str]:
    known = {account.pw_name for account in pwd.getpwall()}
    return [name for name in names if name in known]


def _has_bubblewrap(user: str) -> bool:
    """Return whether a job's user can make a sandbox; where it cannot, nodes isolate as well as they can."""
    if shutil.which("bwrap", path=PATH) is None:
        return False
    trial = [*_as(user), "bwrap", "--ro-bind", "/", "/", "--unshare-pid", "true"]
    return (
        subprocess.run(trial, capture_output=True, check=False, cwd="/", env={"PATH": PATH}).returncode == 0
    )


def _as(user: str) -> list[str]:
    account = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def _version() -> tuple[int, int]:
    """Return Slurm's version, such as (22, 5)."""
    words = _run(Path("/"), "slurmctld", "-V").split()
    numbers = words[-1].split(".") if words else []
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 and numbers[1].isdigit() else (0, 0)


def _rest_plugins() -> list[str]:
    # No database runs here, and slurmrestd does not start with the database's part of the API then.
    return ["-s", "slurmctld"] if _version() >= (23, 11) else ["-s", "openapi/v0.0.38"]


def _environment(folder: Path) -> Mapping[str, str]:
    return {"PATH": PATH, "SLURM_CONF": str(folder / "etc" / "slurm.conf")}


def _run(folder: Path, *command: str) -> str:
    """Return what a command of Slurm writes, whether it succeeds or not."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=dict(_environment(folder)),
        cwd="/",
        timeout=STEP_S,
    )
    return done.stdout


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]


def _read_state(data: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((data / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state


def is_alive(process: Mapping[str, Any]) -> bool:
    """Return whether it is the process that was started; start time and boot id rule out a reused pid."""
    if process["boot_id"] != files.boot_id():
        return False
    found = files.stat_fields(int(process["pid"]))
    return found is not None and found[1][0] != "Z" and int(found[1][19]) == process["start_ticks"]


def _cancel_jobs(folder: Path) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        jobs = _run(folder, "squeue", "-h", "-o", "%A").split()
        if jobs:
            _run(folder, "scancel", "--signal=KILL", "--full", *jobs)
            _run(folder, "scancel", *jobs)


def _end(process: Mapping[str, Any]) -> None:
    """End a daemon; one that does not end in time is killed."""
    for how, within_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process["pid"]), how)
        until = time.monotonic() + within_s
        while is_alive(process) and time.monotonic() < until:
            time.sleep(0.05)
        if not is_alive(process):
            return


def _left_behind(folder: Path) -> Iterator[int]:
    """Yield processes that Slurm started for this cluster, such as a slurmstepd whose job did not end."""
    mark = f"SLURM_CONF={folder / 'etc' / 'slurm.conf'}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0"):
                yield int(process.name)
