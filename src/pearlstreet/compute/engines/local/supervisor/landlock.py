"""Landlock: restrictions on files, network and signals that a process sets for itself, if bubblewrap cannot run."""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from . import linux

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
"""Landlock ABI → number of file rights that it knows, from bit 0 on; 16 from ABI 5 on."""
READ = EXECUTE | READ_FILE | READ_DIR
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2


def file_rights(abi: int) -> int:
    """Return all file rights that the kernel's Landlock ABI can restrict, as a bit mask."""
    return (1 << RIGHTS_BY_ABI.get(abi, 16)) - 1


def ruleset_attributes(abi: int, *, restrict_tcp: bool) -> bytes:
    """Return a struct landlock_ruleset_attr with the length that this ABI knows."""
    net = BIND_TCP | CONNECT_TCP if restrict_tcp else 0
    scope = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL
    length = 8 if abi < 4 else 16 if abi < 6 else 24
    return struct.pack("QQQ", file_rights(abi), net, scope)[:length]


def restrict(
    abi: int, read: list[str], write: list[str], *, unlisted: list[str], tcp_ports: list[int] | None
) -> None:
    """Restrict this process and its children to the given paths; requires no_new_privs. Missing paths are skipped.

    `unlisted`: folders whose files can be read and written by name but not listed. `tcp_ports`: the only ports that may be
    bound and connected to; None does not restrict the network. Raises OSError.
    """
    restrict_tcp = tcp_ports is not None and abi >= 4
    attributes = ctypes.create_string_buffer(ruleset_attributes(abi, restrict_tcp=restrict_tcp))
    ruleset = linux.syscall(linux.LANDLOCK_CREATE, attributes, len(attributes) - 1, 0)
    every = file_rights(abi)
    for paths, rights in ((read, READ), (write, every), (unlisted, every & ~READ_DIR)):
        for path in paths:
            _allow(ruleset, path, rights & every)
    for port in tcp_ports or [] if restrict_tcp else []:
        rule = ctypes.create_string_buffer(struct.pack("QQ", BIND_TCP | CONNECT_TCP, port), 16)
        linux.syscall(linux.LANDLOCK_ADD, ruleset, linux.LANDLOCK_RULE_PORT, rule, 0)
    linux.syscall(linux.LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= FILE_RIGHTS
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle), 12)
        linux.syscall(linux.LANDLOCK_ADD, ruleset, linux.LANDLOCK_RULE_PATH, rule, 0)
    finally:
        os.close(handle)
