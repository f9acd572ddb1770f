"""Restrictions on a task's process between fork and exec: user, resource limits, sandbox."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal

from . import landlock, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NICE = 5
OOM_SCORE = 600
"""Value of oom_score_adj: if the whole machine runs out of memory, the kernel kills jobs before their supervisors."""


def enter(plan: dict[str, Any], task: dict[str, Any], supervisor_pid: int) -> None:
    """Apply all restrictions of a task to the calling process. Raises OSError."""
    os.setsid()
    os.umask(0o022)
    os.nice(NICE)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(OOM_SCORE))
    user = plan["user"]
    for name, value in task["rlimits"].items():
        if name == "pids":
            alone = plan.get("user_namespace")  # the kernel counts processes per user namespace
            others = 0 if alone else _processes_of(os.getuid() if user is None else user["uid"])
            _limit(resource.RLIMIT_NPROC, value + others)
        else:
            _limit(getattr(resource, name), value)
    if user is not None:
        os.setgroups(user["groups"])
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])
    linux.prctl(linux.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != supervisor_pid:
        os._exit(1)
    if plan["sandbox"] != "bubblewrap":
        _confine(plan, task)
    # Python ignores SIGXFSZ: a command that checks no write would go on and succeed with a file cut at the limit.
    for number in (
        signal.SIGPIPE,
        signal.SIGXFSZ,
        signal.SIGUSR1,
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
    ):
        signal.signal(number, signal.SIG_DFL)


def _processes_of(uid: int) -> int:
    """Return the number of a user's threads, all of which the kernel counts against RLIMIT_NPROC."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _confine(plan: dict[str, Any], task: dict[str, Any]) -> None:
    """Apply the isolation that does not need bubblewrap: capabilities, Landlock, seccomp."""
    os.chdir(plan["work"])
    linux.drop_capabilities() if os.geteuid() == 0 else None
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if plan["sandbox"] == "landlock":
        ports = task["tcp_ports"]
        landlock.restrict(
            plan["landlock_abi"],
            plan["readable"],
            plan["writable"],
            unlisted=plan.get("unlisted", []),
            tcp_ports=ports,
        )
    if plan["seccomp"] is not None:
        linux.set_seccomp(plan["seccomp_program"])


def execute(command: list[bytes], variables: dict[bytes, bytes]) -> NoReturn:
    """Replace the process with the command, searched on the PATH of `variables`. Raises OSError."""
    if b"/" in command[0]:
        os.execve(command[0], command, variables)
    failure = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in variables.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin").split(b":"):
        try:
            os.execve(folder + b"/" + command[0], command, variables)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                failure = error
    raise failure
