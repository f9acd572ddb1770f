"""Shells of an attempt: commands that join a running task's sandbox, limits and user.

The engine listens on a socket `shells/ID.sock`, writes the order `shells/ID.json` and wakes the supervisor. The supervisor connects, starts
the command and sends back the other end of its terminal or pipe; when the command has ended, it sends the exit code. If the
engine closes the connection, the command is killed.
"""

from __future__ import annotations

import _socket
import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import termios

from . import files, jail, linux
from .launch import encode
from .task import REPORT_BYTES, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NAMESPACES = ("ipc", "uts", "net", "cgroup", "pid", "mnt", "user")
"""In the order in which they are joined, after the user namespace that owns them: bubblewrap nests another one in that."""
NS_GET_USERNS = 0xB701
"""ioctl that opens the user namespace that owns a namespace (ioctl_ns(2))."""
ANSWER = struct.Struct("i")


class Shells:
    """The shells of one attempt's tasks."""

    def __init__(self, folder: str, plan: dict[str, Any], tasks: list[Task], poll: select.poll) -> None:
        self._folder, self._plan, self._tasks, self._poll = f"{folder}/{files.SHELLS}", plan, tasks, poll
        self._open: dict[int, tuple[_socket.socket, Task]] = {}
        """Process of a shell → its connection to the engine, and its task."""
        self.are_waiting = False
        """Whether an ordered shell has to wait until the sandbox of its task is complete."""

    def start_asked(self) -> None:
        """Start the shells that were ordered since the last call."""
        self.are_waiting = False
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(".json")]
        except FileNotFoundError:
            return
        for name in sorted(names):
            order = files.read_json(self._folder, name)
            if order is not None and not self._is_set_up(order["rank"]):
                self.are_waiting = True
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{name}")
            connection = self._connect(name.removesuffix(".json"))
            if order is not None and connection is not None:
                self._start(order, connection)

    def _task(self, rank: int) -> Task | None:
        """Return the task if its command runs."""
        found = next((one for one in self._tasks if one.rank == rank), None)
        return found if found is not None and found.pid is not None and found.status is None else None

    def _is_set_up(self, rank: int) -> bool:
        """Return whether the task's sandbox is complete: bubblewrap's inner process then has started the command."""
        task = self._task(rank)
        if task is None or self._plan["sandbox"] != "bubblewrap":
            return True
        inner = _children(task.pid)
        return bool(inner) and bool(_children(inner[0]))

    def _connect(self, shell_id: str) -> _socket.socket | None:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        folder = os.open(self._folder, os.O_PATH | os.O_CLOEXEC)
        try:  # the address of a socket is short, the path of a folder may be long
            connection.connect(f"/proc/self/fd/{folder}/{shell_id}.sock")
        except OSError:
            connection.close()
            return None
        finally:
            os.close(folder)
        return connection

    def _start(self, order: dict[str, Any], connection: _socket.socket) -> None:
        task = self._task(order["rank"])
        if task is None:
            _say(connection, {"problem": "ended"})
            connection.close()
            return
        try:
            ours, theirs = _terminal(order) if order["terminal"] else _pipe()
        except OSError as error:
            _say(connection, {"problem": str(error)})
            connection.close()
            return
        try:
            pid, failed = self._fork(order, task, theirs)
            if failed:
                _say(connection, {"problem": failed})
                os.waitpid(pid, 0)
                connection.close()
                return
            handles = ANSWER.pack(ours)
            with contextlib.suppress(OSError):  # an engine that is gone closes the connection, which is seen
                connection.sendmsg([b"{}"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handles)])
            self._open[pid] = connection, task
            task.shells.add(pid)
            self._poll.register(connection.fileno(), select.POLLIN)
        finally:
            os.close(ours)
            os.close(theirs)

    def run_command(self, command: list[str], task: Task) -> int | None:
        """Start a command inside a task, without input and output; return its process, or None if that cannot be done now."""
        if not self._is_set_up(task.rank):
            return None
        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            pid, failed = self._fork({"command": command, "terminal": False}, task, nothing)
        finally:
            os.close(nothing)
        if failed:
            os.waitpid(pid, 0)
            return None
        task.shells.add(pid)
        return pid

    def _fork(self, order: dict[str, Any], task: Task, theirs: int) -> tuple[int, str]:
        """Start the command; return its process and why it cannot be executed, empty if it can."""
        report_read, report_write = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(self._plan, task, order, theirs, report_write, parent)
        os.close(report_write)
        raw = os.read(report_read, REPORT_BYTES)
        os.close(report_read)
        return pid, os.strerror(int(raw)) if raw else ""

    def turn(self, ready: dict[int, int]) -> None:
        """Kill the shells whose engine has closed the connection."""
        for pid, (connection, _) in self._open.items():
            if connection.fileno() in ready:
                self._poll.unregister(connection.fileno())
                _kill(pid)

    def ended(self, pid: int, status: int) -> None:
        """Take note of the end of a process that may be a shell."""
        connection, task = self._open.pop(pid, (None, None))
        if connection is None or task is None:
            return
        task.shells.discard(pid)
        with contextlib.suppress(KeyError):
            self._poll.unregister(connection.fileno())
        code = os.waitstatus_to_exitcode(status)
        _say(connection, {"exit_code": 128 - code if code < 0 else code})
        connection.close()

    def end(self) -> None:
        """Kill every shell: the attempt ends, and an interactive shell ignores SIGTERM."""
        for pid in self._open:
            _kill(pid)


def _children(pid: int | None) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(item) for item in file.read().split()]
    except OSError:
        return []


def _terminal(order: dict[str, Any]) -> tuple[int, int]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", order["rows"], order["columns"], 0, 0))
    return ours, theirs


def _pipe() -> tuple[int, int]:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    return ours.detach(), theirs.detach()


def _say(connection: _socket.socket, value: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        connection.send(json.dumps(value).encode())


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


# -- in the forked copy


def _become(
    plan: dict[str, Any], task: Task, order: dict[str, Any], theirs: int, report: int, parent: int
) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        spaces = _spaces_of(task) if plan["sandbox"] == "bubblewrap" else {}
        for handle in (0, 1, 2):
            os.dup2(theirs, handle)
        if task.group is not None:
            task.group.enter()
        _close_others({0, 1, 2, report, *spaces.values()})
        jail.enter(plan, task.order, parent)
        if order["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if spaces:
            _join(spaces, plan, parent, report)
        variables = dict(task.order["variables"]) | ({"TERM": order["term"]} if order["terminal"] else {})
        command = [encode(part) for part in order["command"]]
        jail.execute(command, {encode(name): encode(value) for name, value in variables.items()})
    except OSError as error:
        os.write(report, str(error.errno or 5).encode())
    except BaseException:  # noqa: BLE001  the forked copy of the supervisor must not go on
        os.write(report, b"5")
    finally:
        os._exit(127)


def _spaces_of(task: Task) -> dict[str, int]:
    """Open each namespace of the sandbox that is not the supervisor's own; name → handle. Raises OSError."""
    inner = _children(task.pid)
    if not inner:
        raise OSError(3, os.strerror(3))
    found = {}
    for name in NAMESPACES:
        path = f"/proc/{inner[0]}/ns/{name}"
        if os.readlink(path) != os.readlink(f"/proc/self/ns/{name}"):
            found[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(found["mnt"], NS_GET_USERNS)
    return {"owner": owner, **found}


def _close_others(kept: set[int]) -> None:
    """Close what the supervisor has open: a process inside the sandbox could reach it through /proc."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _join(spaces: dict[str, int], plan: dict[str, Any], parent: int, report: int) -> None:
    """Move into the sandbox and drop every right to leave it. Raises OSError."""
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # until the command is executed nobody in the sandbox looks in here
    if os.path.sameopenfile(spaces["owner"], spaces["user"]):
        os.close(spaces.pop("user"))
    for handle in spaces.values():
        linux.setns(handle)
        os.close(handle)
    if "pid" in spaces:
        _fork_inside(parent, report)
    os.chdir(plan.get("inside_work", "/"))
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if plan["seccomp"] is not None:
        linux.set_seccomp(plan["seccomp_program"])


def _fork_inside(parent: int, report: int) -> None:
    """Go on as a process of the joined namespace; the copy that stays outside waits for it and ends as it does."""
    pid = os.fork()
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, int(signal.SIGKILL))
        return
    linux.prctl(linux.PR_SET_PDEATHSIG, int(signal.SIGKILL))  # joining a user namespace has cleared it
    if os.getppid() != parent:
        os._exit(1)
    linux.drop_capabilities()
    os.closerange(0, report + 1)  # the command alone holds its terminal
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os._exit(128 - code if code < 0 else code)
