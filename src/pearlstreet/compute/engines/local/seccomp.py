"""A seccomp filter in BPF that blocks system calls which jobs do not need and sandbox escapes have used. Pure.

The filter allows all calls except: debugging and reading other processes, kernel keys, mounts, namespaces, BPF,
performance events, userfaultfd, io_uring, modules, kexec, setting clocks, file handles, writing into a terminal's input,
limits of other processes, and sockets other than Unix, IPv4, IPv6 and netlink. If jobs share a user id, it also refuses to
set the priority, scheduling or affinity of other processes; if they share an IPC namespace, System V IPC and POSIX
message queues.
Numbers: the kernel's asm/unistd_64.h and asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

AUDIT_ARCHS = {
    "x86_64": 0xC000003E,
    "aarch64": 0xC00000B7,
    "riscv64": 0xC00000F3,
    "loongarch64": 0xC0000102,
}
"""Architecture → its number in linux/audit.h."""
X32_BIT = 0x40000000
NAMESPACE_FLAGS = 0x7E02_0080
"""Flags CLONE_NEWNS, NEWTIME, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
SOCKET_FAMILIES = (1, 2, 10, 16)
INTERNET_FAMILIES = (2, 10)
STREAM_TYPES = (1, 1 | 0o4000, 1 | 0o2000000, 1 | 0o2004000)
"""Values of SOCK_STREAM with and without SOCK_NONBLOCK and SOCK_CLOEXEC."""
IPPROTO_TCP = 6
TERMINAL_REQUESTS = (0x5412, 0x541C)
"""Requests TIOCSTI and TIOCLINUX, which put characters into a terminal's input."""

_COMMON = {
    "clone3": 435, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "io_uring_enter": 426,
    "io_uring_register": 427, "io_uring_setup": 425, "mount_setattr": 442, "move_mount": 429, "open_tree": 428,
    "pidfd_getfd": 438, "process_madvise": 440, "quotactl_fd": 443,
}  # fmt: skip
_X86_64 = {
    "_sysctl": 156, "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "chroot": 161, "clock_adjtime": 305,
    "clock_settime": 227, "clone": 56, "create_module": 174, "delete_module": 176, "fanotify_init": 300,
    "finit_module": 313, "get_kernel_syms": 177, "init_module": 175, "ioctl": 16, "ioperm": 173, "iopl": 172,
    "kcmp": 312, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mount": 165,
    "name_to_handle_at": 303, "nfsservctl": 180, "open_by_handle_at": 304, "perf_event_open": 298, "pivot_root": 155,
    "prlimit64": 302, "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101, "query_module": 178,
    "quotactl": 179,
    "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170, "setns": 308, "settimeofday": 164,
    "socket": 41, "swapoff": 168, "swapon": 167, "sysfs": 139, "syslog": 103, "umount2": 166, "unshare": 272,
    "uselib": 134, "userfaultfd": 323, "vhangup": 153,
}  # fmt: skip
_GENERIC = {
    "acct": 89, "add_key": 217, "adjtimex": 171, "bpf": 280, "chroot": 51, "clock_adjtime": 266, "clock_settime": 112,
    "clone": 220, "delete_module": 106, "fanotify_init": 262, "finit_module": 273, "init_module": 105, "ioctl": 29,
    "kcmp": 272, "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "lookup_dcookie": 18, "mount": 40,
    "name_to_handle_at": 264, "nfsservctl": 42, "open_by_handle_at": 265, "perf_event_open": 241, "pivot_root": 41,
    "prlimit64": 261,
    "process_vm_readv": 270, "process_vm_writev": 271, "ptrace": 117, "quotactl": 60, "reboot": 142,
    "request_key": 218, "setdomainname": 162, "sethostname": 161, "setns": 268, "settimeofday": 170, "socket": 198,
    "swapoff": 225, "swapon": 224, "syslog": 116, "umount2": 39, "unshare": 97, "userfaultfd": 282, "vhangup": 58,
}  # fmt: skip
_SETS_OTHERS = {
    "x86_64": {"ioprio_set": 251, "sched_setaffinity": 203, "sched_setattr": 314, "sched_setparam": 142,
               "sched_setscheduler": 144, "setpriority": 141},
    "generic": {"ioprio_set": 30, "sched_setaffinity": 122, "sched_setattr": 274, "sched_setparam": 118,
                "sched_setscheduler": 119, "setpriority": 140},
}  # fmt: skip
"""Architecture → calls that can change the scheduling of another process of the same user."""
_WHICH_AND_WHO = frozenset({"ioprio_set", "setpriority"})
"""Scheduling calls whose first argument is the kind of the second one; the others take a process id first."""
_USER_OF = {"ioprio_set": 3, "setpriority": 2}
"""Values IOPRIO_WHO_USER and PRIO_USER of the first argument, which address every process of a user."""
_IPC = {
    "x86_64": {"mq_open": 240, "mq_unlink": 241, "msgctl": 71, "msgget": 68, "msgrcv": 70, "msgsnd": 69, "semctl": 66,
               "semget": 64, "semop": 65, "semtimedop": 220, "shmat": 30, "shmctl": 31, "shmdt": 67, "shmget": 29},
    "generic": {"mq_open": 180, "mq_unlink": 181, "msgctl": 187, "msgget": 186, "msgrcv": 188, "msgsnd": 189,
                "semctl": 191, "semget": 190, "semop": 193, "semtimedop": 192, "shmat": 196, "shmctl": 195,
                "shmdt": 197, "shmget": 194},
}  # fmt: skip
"""Architecture → calls of System V IPC and POSIX message queues, which every process of the same user id can open."""
_INSPECTED = frozenset({"clone", "clone3", "ioctl", "prlimit64", "socket"})

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 24, 32
"""Offsets in struct seccomp_data; those of arguments address the low 32 bits on little-endian machines."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


@dataclass(frozen=True, slots=True)
class Step:
    """One BPF instruction; jumps give the number of instructions to skip."""

    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def packed(self) -> bytes:
        """Return the instruction as a struct sock_filter."""
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.value)


def numbers(machine: str) -> dict[str, int]:
    """Return system call → number for the calls that the filter always checks."""
    return {**_COMMON, **(_X86_64 if machine == "x86_64" else _GENERIC)}


def scheduling_numbers(machine: str) -> dict[str, int]:
    """Return system call → number for the calls refused on other processes if jobs share a user id."""
    return _SETS_OTHERS["x86_64" if machine == "x86_64" else "generic"]


def ipc_numbers(machine: str) -> dict[str, int]:
    """Return system call → number for the calls refused if jobs share an IPC namespace."""
    return _IPC["x86_64" if machine == "x86_64" else "generic"]


def steps(
    machine: str, *, shared_user: bool = False, shared_ipc: bool = False, tcp_only: bool = False
) -> list[Step]:
    """Return the filter for `machine` (platform.machine()); [] if its system call numbers are not known.

    `shared_user`: jobs of other tenants run under the same user id and see each other's processes.
    `shared_ipc`: they are in the same IPC namespace. `tcp_only`: of IPv4 and IPv6 only TCP, which Landlock then restricts.
    """
    arch = AUDIT_ARCHS.get(machine)
    if arch is None:
        return []
    known = numbers(machine)
    program = [
        Step(_LOAD, _ARCH),
        Step(_EQUAL, arch, 1, 0),
        _fail(errno.ENOSYS),  # refuse 32-bit calls, whose numbers differ
        Step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [Step(_AT_LEAST, X32_BIT, 0, 1), _fail(errno.ENOSYS)]
    # A filter cannot read clone3's flags, which lie in memory. After ENOSYS glibc uses clone, whose flags it can read.
    program += [Step(_EQUAL, known["clone3"], 0, 1), _fail(errno.ENOSYS)]
    for name in sorted(set(known) - _INSPECTED):
        program += [Step(_EQUAL, known[name], 0, 1), _fail(errno.EPERM)]
    program += _when(
        known["clone"],
        [Step(_LOAD, _FIRST_ARGUMENT), Step(_ANY_BIT, NAMESPACE_FLAGS, 0, 1), _fail(errno.EPERM)],
    )
    program += _when(known["ioctl"], _terminal_requests())
    # prlimit64 with another pid could change the limits of the server and its supervisors; 0 is the caller itself.
    program += _when(
        known["prlimit64"],
        [Step(_LOAD, _FIRST_ARGUMENT), Step(_EQUAL, 0, 1, 0), _fail(errno.EPERM)],
    )
    program += _when(known["socket"], _tcp_only() if tcp_only else _socket_families())
    for number in ipc_numbers(machine).values() if shared_ipc else ():
        program += [Step(_EQUAL, number, 0, 1), _fail(errno.EPERM)]
    for name, number in scheduling_numbers(machine).items() if shared_user else ():
        program += _when(number, _of_itself_only(name))
    return [*program, Step(_RETURN, _ALLOW)]


def program(
    machine: str, *, shared_user: bool = False, shared_ipc: bool = False, tcp_only: bool = False
) -> bytes:
    """Return the filter as bytes for bubblewrap or prctl; b"" if there is none for `machine`."""
    filter_steps = steps(machine, shared_user=shared_user, shared_ipc=shared_ipc, tcp_only=tcp_only)
    return b"".join(step.packed() for step in filter_steps)


def _fail(number: int) -> Step:
    return Step(_RETURN, _ERRNO | number)


def _when(number: int, body: list[Step]) -> list[Step]:
    """Return instructions that run `body` for one system call and then allow it."""
    return [Step(_EQUAL, number, 0, len(body) + 1), *body, Step(_RETURN, _ALLOW)]


def _of_itself_only(name: str) -> list[Step]:
    """Return instructions that allow a call only with id 0 (the caller); a filter cannot tell whose other ids are."""
    if name not in _WHICH_AND_WHO:
        return [Step(_LOAD, _FIRST_ARGUMENT), Step(_EQUAL, 0, 1, 0), _fail(errno.EPERM)]
    return [
        Step(_LOAD, _FIRST_ARGUMENT),
        Step(_EQUAL, _USER_OF[name], 0, 1),
        _fail(errno.EPERM),
        Step(_LOAD, _SECOND_ARGUMENT),
        Step(_EQUAL, 0, 1, 0),
        _fail(errno.EPERM),
    ]


def _terminal_requests() -> list[Step]:
    body = [Step(_LOAD, _SECOND_ARGUMENT)]
    for request in TERMINAL_REQUESTS:
        body += [Step(_EQUAL, request, 0, 1), _fail(errno.EPERM)]
    return body


def _tcp_only() -> list[Step]:
    """Return instructions that allow Unix and netlink sockets and TCP.

    They refuse MPTCP, which Landlock does not restrict, SCTP, datagrams and raw packets.
    """
    allow = Step(_RETURN, _ALLOW)
    body = [Step(_LOAD, _FIRST_ARGUMENT)]
    for family in sorted(set(SOCKET_FAMILIES) - set(INTERNET_FAMILIES)):
        body += [Step(_EQUAL, family, 0, 1), allow]
    body += [Step(_EQUAL, INTERNET_FAMILIES[0], 2, 0), Step(_EQUAL, INTERNET_FAMILIES[1], 1, 0)]
    body += [_fail(errno.EAFNOSUPPORT), Step(_LOAD, _THIRD_ARGUMENT)]
    body += [Step(_EQUAL, 0, 2, 0), Step(_EQUAL, IPPROTO_TCP, 1, 0), _fail(errno.EACCES)]
    body.append(Step(_LOAD, _SECOND_ARGUMENT))
    for kind in STREAM_TYPES:
        body += [Step(_EQUAL, kind, 0, 1), allow]
    return [*body, _fail(errno.EACCES)]


def _socket_families() -> list[Step]:
    body = [Step(_LOAD, _FIRST_ARGUMENT)]
    for family in SOCKET_FAMILIES:
        body += [Step(_EQUAL, family, 0, 1), Step(_RETURN, _ALLOW)]
    return [*body, _fail(errno.EAFNOSUPPORT)]
