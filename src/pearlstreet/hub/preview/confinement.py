"""Confinement of the process that reads strangers' files: limits of memory, time and files, and no way to open anything."""

from __future__ import annotations

import ctypes
import os
import resource
import struct

MEMORY_BYTES = 1 << 30
CPU_S = 10
_NO_NEW_PRIVS, _LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 38, 444, 446
_FILE_RIGHTS = (1 << 13) - 1
"""File rights that every version of Landlock knows."""


def limit_resources() -> None:
    """Limit memory and time of this process; it can write no file and start no larger one."""
    for which, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (value, value))


def forbid_opening() -> bool:
    """Let this process open no file any more, where the kernel has Landlock; return whether it has."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    attributes = ctypes.create_string_buffer(struct.pack("Q", _FILE_RIGHTS), 8)
    ruleset = libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE), attributes, ctypes.c_size_t(8), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        return False
    refused = libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)
    return bool(refused == 0)
