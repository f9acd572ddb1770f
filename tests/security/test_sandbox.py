"""Attempts to get out of the sandbox, as real jobs on the real local engine, behind each wall this host offers.

The attempts are in attempts.py. Outside a sandbox they succeed (the control); inside none may, but those that are known
and written down in docs/security/model.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.local.supervisor import linux
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, Limits, Stage
from tests.engines_present import has_bubblewrap, need
from tests.registry import make_root, unpacked
from tests.security import attempts
from tests.unit.engines_local.kit import Bench, until

PROGRAM = Path(attempts.__file__)
PIDS, MEMORY_GIB, DISK_GIB = 60, 0.25, 0.05
LIMITS = Limits(time_s=300, grace_s=1.0, disk_gib=DISK_GIB, pids=PIDS)
IPC_CREAT = 0o1000
CAP_SYS_ADMIN = 21
WALLS = {
    "bubblewrap": {"sandbox": "bubblewrap"},
    "bubblewrap without control groups": {"sandbox": "bubblewrap", "cgroups": "off"},
    "bubblewrap with a container image": {"sandbox": "bubblewrap"},
    "landlock": {"sandbox": "landlock"},
    "landlock without control groups": {"sandbox": "landlock", "cgroups": "off"},
}
SHARED = frozenset({"command_line_of_other", "unix_socket"})
"""Landlock hides no processes, and knows no sockets that are files."""
MEMORY = frozenset({"shared_memory_file"})
"""Behind Landlock it is kept apart by a namespace, which an ordinary user may not be allowed to make."""
KNOWN: Mapping[str, frozenset[str]] = {
    "bubblewrap": frozenset(),
    "bubblewrap without control groups": frozenset(),
    "bubblewrap with a container image": frozenset(),
    "landlock": SHARED,
    "landlock without control groups": SHARED,
}
"""What gets through, by wall: each is in docs/security/model.md."""


@dataclass
class Host:
    """What there is to get at."""

    folder: Path
    targets: dict[str, Any]
    handle: int

    @cached_property
    def image(self) -> Path:
        """The file system of a container image that has Python."""
        return unpacked(make_root(self.folder / "center" / "images" / "root", python=True))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A center's files, another tenant's job, a victim, sockets, shared memory: all open to whoever reaches them."""
    folder = Path(tempfile.mkdtemp(prefix="pearl-security-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield _host(folder, stack)


def _host(folder: Path, stack: contextlib.ExitStack) -> Host:
    tag = secrets.token_hex(6)
    center = folder / "center"
    center.mkdir(mode=0o755)
    for name in ("secret.key", "pearl.db"):
        (center / name).write_text(attempts.MARK)
        (center / name).chmod(0o666)
    opened = folder / "open"
    opened.mkdir()
    opened.chmod(0o777)
    for name in ("file", "to-truncate"):
        (opened / name).write_text(attempts.MARK)
        (opened / name).chmod(0o666)
    victim = _victim(center / "secret.key", folder, stack)
    ports = _listeners(folder, tag, stack)
    for path in (Path("/dev/shm") / f"pearl-{tag}", Path("/tmp") / f"pearl-{tag}"):
        path.write_text(attempts.MARK)
        path.chmod(0o666)
        stack.callback(path.unlink, missing_ok=True)
    keys = _system_v(int(tag[:7], 16), stack)
    handle = os.open(opened / "file", os.O_RDONLY)
    stack.callback(os.close, handle)
    return Host(
        folder,
        {
            "secret_key": str(center / "secret.key"),
            "database": str(center / "pearl.db"),
            "open_file": str(opened / "file"),
            "open_folder": str(opened),
            "server": os.getpid(),
            "shm_name": f"pearl-{tag}",
            "tmp_name": f"pearl-{tag}",
            "pids": PIDS,
            "disk_bytes": int(DISK_GIB * 2**30),
            "memory_bytes": int(MEMORY_GIB * 2**30),
            **victim,
            **ports,
            **keys,
        },
        handle,
    )


def _victim(secret: Path, folder: Path, stack: contextlib.ExitStack) -> dict[str, int]:
    program = "import sys, time; f = open(sys.argv[2]); print(f.fileno(), flush=True); time.sleep(3600)"
    victim = subprocess.Popen(
        [sys.executable, "-c", program, attempts.MARK, str(secret)],
        env={"SECRET": attempts.MARK, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        cwd=folder,
    )
    assert victim.stdout is not None
    stack.callback(victim.stdout.close)
    stack.callback(victim.wait)
    stack.callback(victim.kill)
    return {"victim": victim.pid, "victim_handle": int(victim.stdout.readline())}


def _listeners(folder: Path, tag: str, stack: contextlib.ExitStack) -> dict[str, Any]:
    found: dict[str, Any] = {
        "abstract_socket": f"pearl-{tag}",
        "unix_socket": str(folder / "open" / "socket"),
    }
    address = _host_address()
    for name, family, where in (
        ("port", socket.AF_INET, ("127.0.0.1", 0)),
        ("port6", socket.AF_INET6, ("::1", 0)),
        ("port_any", socket.AF_INET, ("0.0.0.0", 0)),
        ("", socket.AF_UNIX, found["unix_socket"]),
        ("", socket.AF_UNIX, "\0" + found["abstract_socket"]),
    ):
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.bind(where)
        listener.listen(16)
        if name:
            found[name] = listener.getsockname()[1]
    os.chmod(found["unix_socket"], 0o777)
    answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answering.bind(("127.0.0.1", 0))
    found |= {"udp_port": answering.getsockname()[1], "host_address": address}

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = answering.recvfrom(10)
                if data == b"end":
                    return
                answering.sendto(b"pong", peer)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    stack.callback(answering.close)
    stack.callback(thread.join, 10)
    stack.callback(answering.sendto, b"end", ("127.0.0.1", found["udp_port"]))
    return found


def _host_address() -> str:
    """An address of this machine other than loopback; loopback where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


def _system_v(number: int, stack: contextlib.ExitStack) -> dict[str, int]:
    libc = ctypes.CDLL(None)
    segment = libc.shmget(number, 4096, IPC_CREAT | 0o666)
    libc.shmat.restype = ctypes.c_void_p
    place = ctypes.c_void_p(libc.shmat(segment, None, 0))
    ctypes.memmove(place, attempts.MARK.encode(), len(attempts.MARK))
    queue = libc.msgget(number, IPC_CREAT | 0o666)
    stack.callback(libc.msgctl, queue, 0, None)
    stack.callback(libc.shmctl, segment, 0, None)
    stack.callback(libc.shmdt, place)
    return {"shm_key": number, "msg_key": number}


def _results(log: str) -> dict[str, tuple[str, str]]:
    """By attempt: what became of it, and the detail."""
    lines = [line.split("\t") for line in log.splitlines()]
    return {line[1]: (line[2], line[3]) for line in lines if line[0] == "attempt" and len(line) == 4}


def _bench(host: Host, name: str) -> Bench:
    wall = WALLS[name]
    need(wall["sandbox"] != "bubblewrap" or has_bubblewrap(), "bubblewrap")
    need(wall["sandbox"] != "landlock" or linux.landlock_abi(), "Landlock in the kernel")
    return Bench(
        host.folder / "center" / name.replace(" ", "-"), **wall, hidden=(str(host.folder / "center"),)
    )


@contextlib.contextmanager
def behind(host: Host, name: str) -> Iterator[tuple[Bench, dict[str, Any]]]:
    """An engine behind a wall on which another tenant's job runs, and where everything is."""
    bench = _bench(host, name)
    try:
        other = bench.start(
            f"printf %s {attempts.MARK} > result; echo {attempts.MARK}; sleep 600",
            tenant_id="org_00000000000000000000000002",
            variables={"SECRET": attempts.MARK},
        )
        until(lambda: attempts.MARK in bench.log(other))
        folder = bench.attempt_folder(other)
        supervisor = json.loads((folder / "launched.json").read_text())["pid"]
        where = {**host.targets, "other": str(folder), "supervisor": supervisor, "scratch": "SCRATCH"}
        yield bench, where | ({"image": str(host.image)} if "image" in name else {})
    finally:
        bench.clean_up()
        bench.engine.close()


def run(
    bench: Bench, targets: Mapping[str, Any], names: Sequence[str], **wishes: Any
) -> tuple[AttemptReport, str]:
    """The attempts as a job; its report and its log."""
    if "image" in targets:
        wishes |= {"image": "localhost/acme/tool:1", "image_folder": targets["image"]}
    script = """
        export TARGETS=$(printf %s "$TARGETS" | sed "s#SCRATCH#${TMPDIR:-/tmp}#")
        exec python3 attempts.py "$@"
    """
    return bench.run(
        script,
        command=("/bin/sh", "-c", script, "sh", *names),
        variables={"TARGETS": json.dumps(targets)},
        stages=(Stage(str(PROGRAM), "attempts.py", "file"),),
        limits=LIMITS,
        memory_gib=MEMORY_GIB,
        **wishes,
    )


def tried(bench: Bench, targets: Mapping[str, Any], *, alone: bool) -> dict[str, tuple[str, str]]:
    """Every attempt (`alone`: those with a job of their own too), and what became of it."""
    together = [name for name in attempts.ATTEMPTS if name not in attempts.ALONE]
    report, log = run(bench, targets, together)
    assert report.exit_code == 0 and f"tried\t{len(together)}" in log, (report, log[-3000:])
    found = _results(log)
    for name in attempts.ALONE if alone else ():
        report, log = run(bench, targets, [name])
        ended = report.end_reason in (EndReason.MEMORY_LIMIT, EndReason.DISK_LIMIT) or report.exit_code != 0
        found[name] = _results(log).get(name, ("HELD", str(report.message)) if ended else ("LOST", log))
    return found


def test_the_attempts_are_many_and_each_has_a_control_or_a_reason() -> None:
    assert len(attempts.ATTEMPTS) >= 40
    controls = [control for _, control in attempts.ATTEMPTS.values()]
    assert set(controls) <= {attempts.ANYBODY, attempts.ROOT, attempts.NEVER, attempts.NAMESPACES}
    assert controls.count(attempts.ANYBODY) + controls.count(attempts.ROOT) >= 40


def _is_whole_root() -> bool:
    """A container's root may lack rights that some controls need."""
    held = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")
    )
    return os.geteuid() == 0 and bool(int(held.split()[1], 16) >> CAP_SYS_ADMIN & 1)


def _may_make_namespaces() -> bool:
    """Whether this host lets its users make user namespaces: many containers do not."""
    return subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode == 0


def test_without_a_sandbox_the_attempts_succeed(host: Host, tmp_path: Path) -> None:
    """The control: an attempt that fails everywhere would prove nothing."""
    _check_control(host, tmp_path, [name for name in attempts.ATTEMPTS if name not in attempts.ALONE])


@pytest.mark.slow
def test_without_a_sandbox_the_longer_attempts_succeed_too(host: Host, tmp_path: Path) -> None:
    _check_control(host, tmp_path, attempts.ALONE)


def _check_control(host: Host, tmp_path: Path, names: Sequence[str]) -> None:
    other = host.folder / "plain"
    for name in ("work", "logs"):
        (other / name).mkdir(parents=True, exist_ok=True)
    for name in ("order.json", "work/result", "logs/0"):
        (other / name).write_text(attempts.MARK)
    targets = {**host.targets, "other": str(other), "supervisor": os.getpid(), "scratch": str(tmp_path)}
    may = {attempts.ANYBODY, attempts.ROOT} if _is_whole_root() else {attempts.ANYBODY}
    may |= {attempts.NAMESPACES} if _may_make_namespaces() else set()
    chosen = [name for name in names if attempts.ATTEMPTS[name][1] in may]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *chosen],
        env={
            **os.environ,
            "TARGETS": json.dumps(targets),
            "PEARL_SECRET_KEY": "x",
            "PEARL_OUTPUTS": str(tmp_path),
        },
        pass_fds=(host.handle,),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("attempt")]
    held = {line[1]: line[3] for line in lines if line[2] != "ESCAPED"}
    assert {line[1] for line in lines} == set(chosen)
    assert not held, held


@pytest.mark.parametrize("wall", ["bubblewrap", "bubblewrap with a container image", "landlock"])
def test_nothing_gets_through_but_what_is_known(host: Host, wall: str) -> None:
    _check(host, wall, alone=False)


@pytest.mark.slow
@pytest.mark.parametrize("wall", list(WALLS))
def test_nothing_gets_through_behind_any_wall_either(host: Host, wall: str) -> None:
    """With the attempts that take a while."""
    _check(host, wall, alone=True)


def _check(host: Host, wall: str, *, alone: bool) -> None:
    with behind(host, wall) as (bench, targets):
        found = tried(bench, targets, alone=alone)
    assert set(found) == set(attempts.ATTEMPTS) - (set() if alone else set(attempts.ALONE))
    through = {name: detail for name, (verdict, detail) in found.items() if verdict != "HELD"}
    lost = {name: detail for name, (verdict, detail) in found.items() if verdict not in ("HELD", "ESCAPED")}
    assert not lost
    if os.geteuid() == 0 or wall.startswith("bubblewrap"):
        assert set(through) == KNOWN[wall], through
    else:
        assert set(through) <= KNOWN[wall] | MEMORY, through


ON_THE_NETWORK = {
    "bubblewrap": {"servers_port", "servers_port_over_ipv6", "datagram", "hosts_address", "abstract_socket"},
    "landlock": {"servers_port", "servers_port_over_ipv6", "datagram", "hosts_address", *SHARED},
}
"""What a job reaches that asked for the network, which is the host's: by design, and in docs/security/model.md."""


@pytest.mark.parametrize("wall", list(ON_THE_NETWORK))
def test_a_job_with_network_gets_the_hosts_network_and_nothing_else(host: Host, wall: str) -> None:
    outside = {"internet", "metadata_service"}  # whether they answer is this machine's affair
    names = [name for name in attempts.ATTEMPTS if name not in {*attempts.ALONE, *outside}]
    with behind(host, wall) as (bench, targets):
        report, log = run(bench, targets, names, network="internet")
    assert report.exit_code == 0, log
    through = {name for name, (verdict, _) in _results(log).items() if verdict != "HELD"}
    alone = os.geteuid() == 0 or wall == "bubblewrap" or _may_make_namespaces()
    assert through == ON_THE_NETWORK[wall] | (set() if alone else MEMORY)


LEAVES = """
cd "$PEARL_OUTPUTS"
echo mine > honest
ln -s SECRET link; ln -s FOLDER folder; ln -s / root; ln -s ../../.. up
ln SECRET hard; mkfifo pipe; mknod null c 1 3
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
mkdir -p deep/er; ln -s SECRET deep/er/link; ln -s /proc/self/environ environ
printf x > "$(printf 'new\nline')"; printf x > '..hidden'; printf x > 'a;b$(c)'
rm -f "$PEARL_METRICS"; ln -s SECRET "$PEARL_METRICS"
cd ..; mv outputs kept; ln -s FOLDER outputs
chmod 000 "$PEARL_OUTPUTS"/honest
echo left
"""
"""What a job may leave for the server to fall over."""


@pytest.mark.parametrize("wall", ["bubblewrap", "landlock"])
def test_what_a_job_leaves_leads_the_server_nowhere(host: Host, wall: str) -> None:
    secret, folder = host.targets["secret_key"], os.path.dirname(host.targets["secret_key"])
    script = LEAVES.replace("SECRET", secret).replace("FOLDER", folder)
    bench = _bench(host, wall)
    try:
        report, log = bench.run(script)
        assert "left" in log, log
        engine, attempt_id = bench.engine, report.attempt_id
        listed = engine.list_outputs(attempt_id)
        names = {file.path for file in listed.value} if isinstance(listed, Done) else set()
        assert not names & {"link", "folder", "hard", "pipe", "null", "socket", "environ", "deep/er/link"}
        asked = names | {
            "link",
            "folder/secret.key",
            "root/etc/hostname",
            "up/pearl.db",
            "hard",
            "pipe",
            "socket",
        }
        asked |= {
            "deep/er/link",
            "environ",
            "../order.json",
            "secret.key",
            "pearl.db",
            "root" + secret,
            secret,
        }
        for name in asked:
            answer = engine.read_output(attempt_id, name, offset=0, limit=1 << 16)
            if isinstance(answer, Done):
                assert name in names
                assert attempts.MARK.encode() not in answer.value, name
        samples = engine.read_metrics(attempt_id, since_us=0)
        assert attempts.MARK not in repr(samples)
    finally:
        bench.clean_up()
        bench.engine.close()
    assert (Path(folder) / "secret.key").read_text().startswith(attempts.MARK)
    assert (Path(folder) / "secret.key").stat().st_mode & 0o777 == 0o666


SURVIVES = """
import os, sys, time
mark = sys.argv[1]
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 256)
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", mark], {})
time.sleep(1)
print("gone", flush=True)
"""
"""Children that have left the session and the parent, and carry nothing in their environment."""


@pytest.mark.parametrize(
    "wall",
    [pytest.param(name, marks=[pytest.mark.slow] if "without" in name else []) for name in WALLS],
)
def test_nothing_of_a_job_lives_on_after_its_end(host: Host, wall: str) -> None:
    mark = f"survivor-{secrets.token_hex(8)}"
    bench = _bench(host, wall)
    try:
        _, log = bench.run(
            "exec", command=("python3", "-c", SURVIVES, mark), variables={"PYTHONDONTWRITEBYTECODE": "1"}
        )
        assert "gone" in log, log
        until(lambda: not _running(mark), within_s=20)
    finally:
        bench.clean_up()
        bench.engine.close()


def test_survivors_would_be_seen(tmp_path: Path) -> None:
    """The control of the test above."""
    mark = f"survivor-{secrets.token_hex(8)}"
    subprocess.run([sys.executable, "-c", SURVIVES, mark], check=True, capture_output=True, timeout=60)
    try:
        until(lambda: len(_running(mark)) == 3)
    finally:
        for pid in _running(mark):
            os.kill(pid, 9)


def _running(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if mark.encode() in words and SURVIVES.encode() not in words:
                found.append(int(folder.name))
    return found
