"""Access to files as another user: what the server reads and writes for a user of the cluster, it may do only as that user.

So a link that a user puts into its folder leads the server nowhere, and a file server that maps root to nobody does no harm.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class FileUser:
    """A user of the cluster, with its numbers on this machine."""

    name: str
    uid: int
    gid: int


def find_user(name: str) -> FileUser | None:
    """Return the account of that name; None: this machine knows none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return FileUser(name, found.pw_uid, found.pw_gid)


@contextlib.contextmanager
def as_user(user: FileUser) -> Iterator[None]:
    """Access files as `user` on this thread; without effect where the server is not root, which then is that user itself.

    The kernel takes root's privileges over files from a thread whose user for files is not root (setfsuid(2)).
    """
    if os.geteuid() != 0 or user.uid == 0:
        yield
        return
    _libc.setfsgid(user.gid)
    _libc.setfsuid(user.uid)
    try:
        if _libc.setfsuid(-1) != user.uid:
            raise PermissionError(f"files cannot be accessed as {user.name}")
        yield
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(os.getegid())
