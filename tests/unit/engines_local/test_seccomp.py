"""The filter, run by a small BPF machine: what it refuses, what it lets through, on every kind of machine."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.engines.local.seccomp import (
    AUDIT_ARCHS,
    NAMESPACE_FLAGS,
    SOCKET_FAMILIES,
    ipc_numbers,
    numbers,
    program,
    scheduling_numbers,
    steps,
)

ALLOW = 0x7FFF0000
MACHINES = sorted(AUDIT_ARCHS)
LOOKED_INTO = {"clone", "clone3", "ioctl", "prlimit64", "socket"}


def verdict(
    machine: str,
    number: int,
    *arguments: int,
    arch: int | None = None,
    shared: bool = False,
    tcp_only: bool = False,
) -> int:
    """What the kernel would do: ALLOW, or the error number."""
    data = struct.pack("<iIQ", number, AUDIT_ARCHS[machine] if arch is None else arch, 0)
    data += struct.pack("<6Q", *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    place, held = 0, 0
    program_steps = steps(machine, shared_user=shared, shared_ipc=shared, tcp_only=tcp_only)
    for _ in range(1000):
        step = program_steps[place]
        place += 1
        if step.code == 0x20:
            held = struct.unpack_from("<I", data, step.value)[0]
        elif step.code == 0x06:
            return ALLOW if step.value == ALLOW else step.value & 0xFFFF
        else:
            met = {0x15: held == step.value, 0x35: held >= step.value, 0x45: bool(held & step.value)}[
                step.code
            ]
            place += step.if_true if met else step.if_false
    raise AssertionError("the program does not end")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_named_call_is_refused(machine: str) -> None:
    for name in set(numbers(machine)) - LOOKED_INTO:
        assert verdict(machine, numbers(machine)[name]) == errno.EPERM, name
    assert verdict(machine, numbers(machine)["clone3"]) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 600))
def test_every_other_call_is_allowed(machine: str, number: int) -> None:
    if number not in numbers(machine).values():
        assert verdict(machine, number) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@given(flags=st.integers(0, 0xFFFFFFFF))
def test_a_clone_may_make_processes_but_no_namespaces(machine: str, flags: int) -> None:
    wanted = errno.EPERM if flags & NAMESPACE_FLAGS else ALLOW
    assert verdict(machine, numbers(machine)["clone"], flags) == wanted


@pytest.mark.parametrize("machine", MACHINES)
@given(family=st.integers(0, 60))
def test_sockets_are_of_few_families(machine: str, family: int) -> None:
    wanted = ALLOW if family in SOCKET_FAMILIES else errno.EAFNOSUPPORT
    assert verdict(machine, numbers(machine)["socket"], family) == wanted


@pytest.mark.parametrize("machine", MACHINES)
@given(pid=st.integers(0, 1 << 22))
def test_limits_may_be_set_of_oneself_only(machine: str, pid: int) -> None:
    assert verdict(machine, numbers(machine)["prlimit64"], pid) == (errno.EPERM if pid else ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_without_network_only_sockets_remain_that_landlock_restricts(machine: str) -> None:
    number = numbers(machine)["socket"]

    def ask(family: int, kind: int, protocol: int = 0) -> int:
        return verdict(machine, number, family, kind, protocol, tcp_only=True)

    stream, datagram, raw, closing = 1, 2, 3, 0o2000000
    for family in (2, 10):
        assert ask(family, stream) == ask(family, stream | closing) == ask(family, stream, 6) == ALLOW
        assert (
            ask(family, datagram)
            == ask(family, datagram | closing, 17)
            == ask(family, raw, 1)
            == errno.EACCES
        )
        assert ask(family, stream, 262) == ask(family, stream, 132) == errno.EACCES, "MPTCP, SCTP"
    assert ask(1, datagram) == ask(16, raw) == ALLOW
    assert ask(17, raw) == ask(40, stream) == errno.EAFNOSUPPORT


@pytest.mark.parametrize("machine", MACHINES)
@given(pid=st.integers(0, 1 << 22))
def test_where_jobs_share_a_user_only_oneself_is_scheduled_otherwise(machine: str, pid: int) -> None:
    known = scheduling_numbers(machine)
    wanted = errno.EPERM if pid else ALLOW
    for name in ("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"):
        assert verdict(machine, known[name], pid, shared=True) == wanted, name
    for name, of_a_process, of_a_group, of_a_user in (("setpriority", 0, 1, 2), ("ioprio_set", 1, 2, 3)):
        assert verdict(machine, known[name], of_a_process, pid, shared=True) == wanted, name
        assert verdict(machine, known[name], of_a_group, pid, shared=True) == wanted, name
        assert verdict(machine, known[name], of_a_user, pid, shared=True) == errno.EPERM, name
    assert all(verdict(machine, number, 0, pid) == ALLOW for number in known.values())


@pytest.mark.parametrize("machine", MACHINES)
def test_where_jobs_share_an_ipc_namespace_they_get_nothing_of_it(machine: str) -> None:
    for name, number in ipc_numbers(machine).items():
        assert verdict(machine, number, shared=True) == errno.EPERM, name
        assert verdict(machine, number) == ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
def test_input_cannot_be_put_into_a_terminal(machine: str) -> None:
    ioctl = numbers(machine)["ioctl"]
    assert verdict(machine, ioctl, 0, 0x5412) == errno.EPERM
    assert (
        verdict(machine, ioctl, 0, 0xFFFFFFFF_00005412) == errno.EPERM
    )  # the kernel looks at the low half only
    assert verdict(machine, ioctl, 0, 0x5401) == ALLOW


def test_the_calls_of_other_modes_are_not_there() -> None:
    assert verdict("x86_64", 26, arch=0x40000003) == errno.ENOSYS  # ptrace of 32-bit x86
    assert verdict("x86_64", 0x40000000 | 101) == errno.ENOSYS  # x32


def test_a_machine_whose_numbers_are_unknown_gets_none() -> None:
    assert program("s390x") == b""
    assert len(program("x86_64")) % 8 == 0
    strictest = steps("x86_64", shared_user=True, shared_ipc=True)
    assert all(step.if_true < 256 and step.if_false < 256 for step in strictest)
