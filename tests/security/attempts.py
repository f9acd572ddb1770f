"""What a job may try to get out of its sandbox. A program by itself: it runs as a job, and outside as the control.

Each attempt is a function that does the forbidden thing and makes sure that it was done. It runs in a child of its own
and prints one line: its name, ESCAPED or HELD, and what it got or which error stopped it. TARGETS says where things are.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import sys
import time

WITHIN_S = 20
MARK = "canary-of-the-host"
ATTEMPTS = {}
ANYBODY, ROOT, NEVER, NAMESPACES = "anybody", "root", "never", "who may make namespaces"
"""Who gets through without a sandbox: the proof that an attempt can succeed at all."""
LIBC = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
T = json.loads(os.environ.get("TARGETS", "{}"))


class Held(Exception):
    """It did not work, without an error of the system's."""


def attempt(control, only_x86=False):
    """Put a function on the list; `control`: who gets through where there is no sandbox."""

    def add(function):
        if X86 or not only_x86:
            ATTEMPTS[function.__name__] = (function, control)
        return function

    return add


def must(condition, why="nothing came of it"):
    """The attempt worked only if this holds."""
    if not condition:
        raise Held(why)


def call(number, *arguments):
    """A system call by its number."""
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def libc(name, *arguments):
    """A function of the C library."""
    result = getattr(LIBC, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path):
    """The start of a file."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(handle, 4096).decode("utf-8", "replace")
    finally:
        os.close(handle)


def marked(text):
    """What was read must be the host's."""
    must(MARK in text, "read, but not the host's")
    return "read"


# -- files of the server and of other tenants


@attempt(ANYBODY)
def secret_key():
    return marked(read(T["secret_key"]))


@attempt(ANYBODY)
def database():
    return marked(read(T["database"]))


@attempt(ANYBODY)
def database_write():
    with open(T["database"], "r+b") as file:
        file.seek(0, 2)
        return file.write(b"\n")


@attempt(ANYBODY)
def data_folder_list():
    return os.listdir(os.path.dirname(T["secret_key"]))[0]


@attempt(ANYBODY)
def other_tenants_order():
    return marked(read(T["other"] + "/order.json"))


@attempt(ANYBODY)
def other_tenants_result():
    return marked(read(T["other"] + "/work/result"))


@attempt(ANYBODY)
def other_tenants_write():
    with open(T["other"] + "/work/planted", "w") as file:
        return file.write("x")


@attempt(ANYBODY)
def other_tenants_list():
    return os.listdir(os.path.dirname(T["other"]))[0]


@attempt(ANYBODY)
def other_tenants_log():
    return marked(read(T["other"] + "/logs/" + os.listdir(T["other"] + "/logs")[0]))


@attempt(NEVER)
def own_state():
    """Write the end of this attempt, as its supervisor does."""
    with open(os.path.join(os.environ["PEARL_OUTPUTS"], "..", "state.json"), "w") as file:
        return file.write("{}")


@attempt(NEVER)
def own_order():
    return read(os.path.join(os.environ["PEARL_OUTPUTS"], "..", "order.json"))[:20]


@attempt(ANYBODY)
def file_open_to_all():
    return marked(read(T["open_file"]))


@attempt(ANYBODY)
def folder_open_to_all():
    with open(T["open_folder"] + "/planted", "w") as file:
        return file.write("x")


@attempt(ANYBODY)
def symlink_out():
    os.symlink(T["secret_key"], T["scratch"] + "/link-out")
    return marked(read(T["scratch"] + "/link-out"))


@attempt(ANYBODY)
def hard_link_out():
    os.link(T["open_file"], T["scratch"] + "/hard-link")
    return marked(read(T["scratch"] + "/hard-link"))


@attempt(ANYBODY)
def climb_out():
    up = "/".join([".."] * 40)
    return marked(read(up + T["open_file"]))


@attempt(ANYBODY)
def truncate_outside():
    os.truncate(T["open_folder"] + "/to-truncate", 0)
    return "cut"


@attempt(ROOT)
def shadow():
    return read("/etc/shadow")[:4]


@attempt(NEVER)
def etc_write():
    with open("/etc/pearl-planted", "w") as file:
        return file.write("x")


@attempt(NEVER)
def usr_write():
    with open("/usr/local/bin/pearl-planted", "w") as file:
        return file.write("x")


@attempt(ROOT)
def sysctl_write():
    with open("/proc/sys/kernel/core_pattern", "r+") as file:
        return repr(file.writable())


@attempt(NEVER)
def sysrq():
    return os.open("/proc/sysrq-trigger", os.O_WRONLY)


@attempt(NEVER)
def kernel_memory():
    for path in ("/dev/mem", "/dev/kmem", "/proc/kcore", "/dev/port"):
        try:
            return os.read(os.open(path, os.O_RDONLY), 1)
        except OSError as error:
            last = error
    raise last


@attempt(ROOT)
def kernel_log():
    return os.open("/dev/kmsg", os.O_WRONLY)


@attempt(ROOT)
def device_made():
    """Make the node of the host's null device, and use it."""
    path = T["scratch"] + "/device"
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return os.open(path, os.O_RDWR)


@attempt(NEVER)
def block_device():
    for name in os.listdir("/dev"):
        path = "/dev/" + name
        if stat.S_ISBLK(os.stat(path).st_mode):
            return os.open(path, os.O_RDONLY)
    os.mknod(T["scratch"] + "/disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
    return os.open(T["scratch"] + "/disk", os.O_RDONLY)


@attempt(NEVER)
def dangerous_devices():
    for path in (
        "/dev/kvm",
        "/dev/fuse",
        "/dev/net/tun",
        "/dev/vhost-vsock",
        "/dev/loop-control",
        "/dev/mapper/control",
    ):
        try:
            return os.open(path, os.O_RDWR), path
        except OSError as error:
            last = error
    raise last


# -- other processes


@attempt(ANYBODY)
def signal_other():
    os.kill(T["victim"], signal.SIGCONT)
    return "sent"


@attempt(ANYBODY)
def signal_server():
    os.kill(T["server"], 0)
    return "could"


@attempt(ANYBODY)
def signal_supervisor():
    os.kill(T["supervisor"], 0)
    return "could"


@attempt(NEVER)
def signal_parent():
    """The process that started this job: its supervisor, or what stands between."""
    parent = int(os.environ["JOB_PARENT"])
    must(parent > 1, "the parent is of another world")
    os.kill(parent, 0)
    return "could"


@attempt(ANYBODY)
def environ_of_other():
    return marked(read(f"/proc/{T['victim']}/environ"))


@attempt(ANYBODY)
def command_line_of_other():
    return marked(read(f"/proc/{T['victim']}/cmdline"))


@attempt(ANYBODY)
def memory_of_other():
    return os.open(f"/proc/{T['victim']}/mem", os.O_RDWR)


@attempt(ANYBODY)
def root_of_other():
    return marked(read(f"/proc/{T['victim']}/root{T['secret_key']}"))


@attempt(ANYBODY)
def open_file_of_other():
    return marked(read(f"/proc/{T['victim']}/fd/{T['victim_handle']}"))


@attempt(ANYBODY)
def working_folder_of_other():
    return os.listdir(f"/proc/{T['victim']}/cwd")[0]


@attempt(ANYBODY, only_x86=True)
def ptrace():
    call(101, 16, T["victim"], 0, 0)
    os.waitpid(T["victim"], 0x40000000)
    call(101, 17, T["victim"], 0, 0)
    return "attached"


@attempt(ANYBODY, only_x86=True)
def vm_read():
    """process_vm_readv of the first bytes the victim's program has mapped."""
    with open(f"/proc/{T['victim']}/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    buffer = ctypes.create_string_buffer(16)
    local = struct.pack("QQ", ctypes.addressof(buffer), 16)
    remote = struct.pack("QQ", start, 16)
    return call(310, T["victim"], local, 1, remote, 1, 0)


@attempt(ANYBODY)
def handle_of_other():
    """pidfd_getfd: take an open file out of another process."""
    process = os.pidfd_open(T["victim"])
    handle = call(438, process, T["victim_handle"], 0)
    os.lseek(handle, 0, 0)
    return marked(os.read(handle, 4096).decode())


@attempt(ANYBODY)
def priority_of_other():
    os.setpriority(os.PRIO_PROCESS, T["victim"], 10)
    return "set"


@attempt(ANYBODY)
def affinity_of_other():
    os.sched_setaffinity(T["victim"], os.sched_getaffinity(T["victim"]))
    return "set"


@attempt(ANYBODY)
def scheduling_of_other():
    os.sched_setscheduler(T["victim"], os.SCHED_BATCH, os.sched_param(0))
    return "set"


@attempt(ANYBODY, only_x86=True)
def disk_priority_of_other():
    call(251, 1, T["victim"], 3 << 13)  # ioprio_set: idle
    return "set"


@attempt(ANYBODY)
def limits_of_other():
    now = resource.prlimit(T["victim"], resource.RLIMIT_NOFILE)
    resource.prlimit(T["victim"], resource.RLIMIT_NOFILE, now)
    return "set"


@attempt(ROOT)
def own_priority():
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return "raised"


@attempt(ROOT)
def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "set"


@attempt(NEVER)
def last_to_be_killed():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-900")
    return "set"


# -- rights


@attempt(ROOT)
def capabilities():
    lines = read("/proc/self/status").splitlines()
    found = [line.split()[1] for line in lines if line.startswith(("CapEff", "CapPrm", "CapAmb"))]
    must(any(int(one, 16) for one in found), "none")
    return found


@attempt(ANYBODY)
def new_privileges():
    value = next(
        line.split()[1] for line in read("/proc/self/status").splitlines() if line.startswith("NoNewPrivs")
    )
    must(value == "0", "setuid programs give nothing")
    return "possible"


@attempt(ROOT)
def become_root():
    os.setresuid(0, 0, 0)
    os.chown(T["scratch"], 1, 1)
    os.chown(T["scratch"], os.getuid(), os.getgid())
    return "root with its rights"


@attempt(ROOT)
def become_another():
    os.setresuid(12_345, 12_345, 12_345)
    return "another user"


@attempt(NEVER)
def core_dumps():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "on"


@attempt(ANYBODY)
def inherited_handles():
    open_ones = []
    for handle in range(3, 256):
        try:
            fcntl.fcntl(handle, fcntl.F_GETFD)
            open_ones.append(os.readlink(f"/proc/self/fd/{handle}"))
        except OSError:
            continue
    must(open_ones, "none")
    return open_ones


@attempt(ANYBODY)
def credentials_in_environment():
    found = [
        name
        for name, value in os.environ.items()
        if "pearl_0" in value or name in ("PEARL_KEY", "PEARL_SECRET_KEY")
    ]
    must(found, "none")
    return found


# -- the kernel's doors


@attempt(NAMESPACES, only_x86=True)
def user_namespace():
    call(272, 0x10000000)
    return "made"


@attempt(ROOT, only_x86=True)
def mount_namespace():
    call(272, 0x00020000)
    return "made"


@attempt(NAMESPACES, only_x86=True)
def user_namespace_by_clone():
    child = call(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@attempt(NAMESPACES, only_x86=True)
def user_namespace_by_clone3():
    arguments = struct.pack("QQQQQQQQ", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = call(435, arguments, len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@attempt(ROOT, only_x86=True)
def enter_namespace():
    call(308, os.open(f"/proc/{T['victim']}/ns/uts", os.O_RDONLY), 0)
    return "entered"


@attempt(NEVER, only_x86=True)
def mount():
    call(165, b"none", T["scratch"].encode(), b"tmpfs", 0, 0)
    return "mounted"


@attempt(NEVER, only_x86=True)
def remount_writable():
    call(165, b"none", b"/", 0, 0x20 | 0x1000, 0)
    return "remounted"


@attempt(NEVER, only_x86=True)
def unmount():
    call(166, b"/proc", 2)
    return "unmounted"


@attempt(ROOT)
def chroot():
    os.chroot(T["scratch"])
    return "done"


@attempt(NEVER, only_x86=True)
def pivot():
    call(155, b".", b".")
    return "done"


@attempt(ANYBODY, only_x86=True)
def kernel_keys():
    call(250, 1, None)  # KEYCTL_JOIN_SESSION_KEYRING
    return "a keyring"


@attempt(ROOT, only_x86=True)
def bpf():
    return call(321, 0, struct.pack("IIIIIIII", 2, 4, 8, 1, 0, 0, 0, 0), 32)  # a map


@attempt(ROOT, only_x86=True)
def performance_events():
    attributes = struct.pack("II", 1, 112) + bytes(104)
    return call(298, attributes, 0, -1, -1, 0)


@attempt(NEVER)
def io_uring():
    return call(425, 4, bytes(120))


@attempt(ROOT, only_x86=True)
def userfaultfd():
    return call(323, 0)


@attempt(NEVER, only_x86=True)
def kernel_module():
    call(313, 0, b"", 0)
    return "loaded"


@attempt(NEVER, only_x86=True)
def kexec():
    call(246, 0, 0, 0, 0)
    return "loaded"


@attempt(ROOT, only_x86=True)
def clock_set():
    call(227, 0, struct.pack("qq", *divmod(time.time_ns(), 10**9)))
    return "set"


@attempt(NEVER, only_x86=True)
def io_ports():
    call(172, 3)
    return "allowed"


@attempt(ROOT, only_x86=True)
def handle_of_file():
    """name_to_handle_at, the first half of the way around every path."""
    handle = ctypes.create_string_buffer(struct.pack("II", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    call(
        303,
        -100,
        T["open_file"].encode() if os.path.exists(T["open_file"]) else b"/",
        handle,
        ctypes.byref(mount_id),
        0,
    )
    struct.pack_into("I", handle, 0, struct.unpack_from("I", handle)[0])
    return call(304, os.open("/", os.O_RDONLY), handle, os.O_RDONLY)


@attempt(ROOT, only_x86=True)
def file_notices():
    return call(300, 0, 0)  # fanotify_init


@attempt(ROOT, only_x86=True)
def kernel_messages():
    return call(103, 10, None, 0)


@attempt(NEVER, only_x86=True)
def x32_calls():
    must(call(0x40000000 | 39) == os.getpid())
    return "another numbering reached the kernel"


@attempt(NEVER)
def terminal_input():
    fcntl.ioctl(0, 0x5412, b"x")
    return "typed"


@attempt(NEVER)
def own_control_group():
    """Leave the group that carries the limits."""
    for line in read("/proc/mounts").splitlines()[:-1]:
        _, place, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            with open(place + "/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
                return place
    with open("/sys/fs/cgroup/cgroup.procs", "w") as file:
        return file.write(str(os.getpid()))


@attempt(NEVER)
def own_program_overwritten():
    """Write the program that is running, as runc once allowed."""
    for path in ("/proc/self/exe", "/proc/1/exe"):
        try:
            return os.open(path, os.O_WRONLY)
        except OSError as error:
            last = error
    raise last


# -- the network, for a job that was given none


def _connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.settimeout(2)
        line.connect(address)
        return "connected"


@attempt(ANYBODY)
def servers_port():
    return _connect(socket.AF_INET, ("127.0.0.1", T["port"]))


@attempt(ANYBODY)
def servers_port_over_ipv6():
    return _connect(socket.AF_INET6, ("::1", T["port6"]))


@attempt(NEVER)
def hosts_address():
    return _connect(socket.AF_INET, (T["host_address"], T["port_any"]))


@attempt(ANYBODY)
def datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(2)
        line.connect(("127.0.0.1", T["udp_port"]))
        line.send(b"ping")
        must(line.recv(10) == b"pong")
        return "answered"


@attempt(NEVER)
def metadata_service():
    return _connect(socket.AF_INET, ("169.254.169.254", 80))


@attempt(NEVER)
def internet():
    return _connect(socket.AF_INET, ("1.1.1.1", 443))


@attempt(ANYBODY)
def unix_socket():
    return _connect(socket.AF_UNIX, T["unix_socket"])


@attempt(ANYBODY)
def abstract_socket():
    return _connect(socket.AF_UNIX, "\0" + T["abstract_socket"])


@attempt(ROOT)
def raw_packets():
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()


@attempt(ROOT)
def raw_ip():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).fileno()


@attempt(NEVER)
def odd_sockets():
    for family in (40, 31, 38, 17, 15, 21, 30):  # vsock, bluetooth, alg, packet, key, rds, tipc
        try:
            return socket.socket(
                family, socket.SOCK_SEQPACKET if family != 40 else socket.SOCK_STREAM
            ).fileno()
        except OSError as error:
            last = error
    raise last


# -- what tenants could leave each other


@attempt(ANYBODY)
def shared_memory_file():
    return marked(read("/dev/shm/" + T["shm_name"]))


@attempt(ANYBODY)
def shared_memory_names():
    """The names under which others keep shared memory: who knows one can open it."""
    must(T["shm_name"] in os.listdir("/dev/shm"), "not among the names")
    return "listed"


@attempt(ANYBODY)
def shared_memory_segment():
    """System V shared memory, open to all."""
    handle = libc("shmget", T["shm_key"], 0, 0)
    LIBC.shmat.restype = ctypes.c_void_p
    return marked(ctypes.string_at(LIBC.shmat(handle, None, 0), 64).decode("utf-8", "replace"))


@attempt(ANYBODY)
def message_queue():
    libc("msgget", T["msg_key"], 0)
    return "opened"


@attempt(ANYBODY)
def temporary_file():
    return marked(read("/tmp/" + T["tmp_name"]))


# -- more than was given


@attempt(ANYBODY)
def too_many_processes():
    """More than twice the limit."""
    made = []
    try:
        for _ in range(2 * T["pids"]):
            child = os.fork()
            if child == 0:
                time.sleep(5)
                os._exit(0)
            made.append(child)
        time.sleep(1)
        return len(made)
    finally:
        for child in made:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@attempt(ANYBODY)
def too_large_file():
    """One file beyond the limit of the disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    handle = os.open(T["scratch"] + "/large", os.O_WRONLY | os.O_CREAT)
    try:
        os.lseek(handle, T["disk_bytes"] + (1 << 20), 0)
        os.write(handle, b"x")
    finally:
        os.close(handle)
        os.unlink(T["scratch"] + "/large")
    return "written"


@attempt(NEVER)
def too_many_handles():
    """More open files than one process needs: the whole machine's table."""
    return len([os.open("/dev/null", os.O_RDONLY) for _ in range(2_000_000)])


@attempt(ROOT)
def locked_memory():
    """Memory that can never be given back."""
    area = mmap.mmap(-1, T["memory_bytes"] * 2)
    must(
        LIBC.mlock(
            ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(area))), ctypes.c_size_t(len(area))
        )
        == 0
    )
    return "locked"


@attempt(ANYBODY)
def memory_bomb():
    """Touch four times the memory that was given."""
    area = mmap.mmap(-1, T["memory_bytes"] * 4)
    for place in range(0, len(area), mmap.PAGESIZE):
        area[place] = 1
    time.sleep(2)  # where the kernel keeps no limit, the supervisor looks now and then
    return "held"


@attempt(ANYBODY)
def disk_filled():
    """Four times the disk that was given, in files that are small enough each."""
    piece, part = os.urandom(1 << 20), T["disk_bytes"] // 2
    for number in range(8):
        with open(f"{T['scratch']}/fill-{number}", "wb") as file:
            for _ in range(part // len(piece)):
                file.write(piece)
    time.sleep(6)  # the supervisor counts now and then
    for number in range(8):
        os.unlink(f"{T['scratch']}/fill-{number}")
    return "filled"


ALONE = ("too_many_processes", "memory_bomb", "disk_filled")
"""Attempts for which the whole job may be ended: each needs a job of its own."""


def run_one(name):
    """One attempt in a child of its own."""
    function, _ = ATTEMPTS[name]
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            signal.alarm(WITHIN_S)
            got = function()
        except Held as error:
            told = ("HELD", str(error))
        except OSError as error:
            told = ("HELD", errno.errorcode.get(error.errno, type(error).__name__))
        except BaseException as error:
            told = ("HELD", f"{type(error).__name__} {error}"[:100])
        else:
            told = ("ESCAPED", repr(got)[:100])
        os.write(1, "\t".join(("attempt", name, *told)).encode() + b"\n")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        print("\t".join(("attempt", name, "HELD", f"signal {os.WTERMSIG(status)}")), flush=True)


if __name__ == "__main__":
    os.environ["JOB_PARENT"] = str(os.getppid())
    chosen = sys.argv[1:]
    for one in chosen:
        run_one(one)
    print(f"tried\t{len(chosen)}", flush=True)
