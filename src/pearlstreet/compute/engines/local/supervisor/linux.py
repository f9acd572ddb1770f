"""Linux system calls that Python lacks: namespaces, mounts, seccomp, Landlock, prctl."""

from __future__ import annotations

import _socket
import ctypes
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 15, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
SECCOMP_MODE_FILTER = 2
LAST_CAPABILITY = 63
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_RULE_PATH, LANDLOCK_RULE_PORT = 1, 2
CAPSET = {"x86_64": 126}.get(os.uname().machine, 91)

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: Any, *arguments: Any) -> int:
    result = int(function(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(number: int, *arguments: object) -> int:
    """Make a system call by its number and return its result. Raises OSError."""
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _call(_libc.syscall, ctypes.c_long(number), *wide)


def prctl(option: int, first: object = 0, second: object = 0) -> None:
    """Call prctl(2). Raises OSError."""
    zero = ctypes.c_ulong(0)
    arguments = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in (first, second)]
    _call(_libc.prctl, ctypes.c_int(option), *arguments, zero, zero)


def unshare(flags: int) -> None:
    """Move this process into new namespaces (CLONE_ flags). Raises OSError."""
    _call(_libc.unshare, ctypes.c_int(flags))


def setns(handle: int) -> None:
    """Move this process into the namespace that `handle` refers to. Raises OSError."""
    _call(_libc.setns, ctypes.c_int(handle), ctypes.c_int(0))


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount a file system. Raises OSError."""
    encoded = [item.encode() if item is not None else None for item in (source, target, kind)]
    data = options.encode() if options else None
    _call(_libc.mount, *encoded, ctypes.c_ulong(flags), data)


def user_namespace(flags: int) -> None:
    """Create namespaces (CLONE_ flags) inside a new user namespace that keeps our user and group id. Raises OSError.

    This needs no privilege.
    """
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | flags)
    maps = (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"))
    for name, value in maps:
        with open(f"/proc/self/{name}", "w") as file:
            file.write(value)


def own_network() -> bool:
    """Create a network namespace in which only loopback is up, for this process and its future children.

    Without the privilege it is created inside a user namespace that keeps our user id; the result is then True.
    Raises OSError.
    """
    alone = False
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:
        alone = True
        user_namespace(CLONE_NEWNET)
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
    fcntl.ioctl(any_socket.fileno(), 0x8914, request)  # SIOCSIFFLAGS
    any_socket.close()
    return alone


def set_seccomp(program: bytes) -> None:
    """Install a seccomp filter, which cannot be removed; requires no_new_privs or CAP_SYS_ADMIN. Raises OSError."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(head, len(head)))


def drop_capabilities() -> None:
    """Drop all capabilities of this process and of programs that it executes later. Raises OSError."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
    syscall(CAPSET, header, ctypes.create_string_buffer(24))


def landlock_abi() -> int:
    """Return the Landlock ABI version of the kernel; 0: Landlock is not available."""
    try:
        return syscall(LANDLOCK_CREATE, None, 0, 1)
    except OSError:
        return 0
