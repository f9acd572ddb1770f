"""bubblewrap options for the sandbox of a task: namespaces and the paths of the host that are visible inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pearlstreet.compute.engines.local import images
from pearlstreet.compute.engines.local.folders import INSIDE, METRICS_INSIDE
from pearlstreet.compute.engines.local.supervisor.files import SHARED_MEMORY
from pearlstreet.compute.engines.protocol import Binding, Mount

Argument = str | dict[str, str]
"""One option: a string, or {"path": a path of the host} that the supervisor opens before it drops root."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = (
    "/etc/alternatives", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/fonts", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/pki", "/etc/protocols",
    "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
)  # fmt: skip
"""Paths of the host's /etc visible in the sandbox; none contains accounts, keys or names of other machines."""
NAMES = (
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
)
"""Files of the host that jobs behind Landlock read instead of STUBS: Landlock can hide files but not replace them."""
STUBS = {
    "passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\npearl:x:1000:1000:pearl:/pearl/home:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\npearl:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost pearl\n::1 localhost ip6-localhost ip6-loopback\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
"""Files in the /etc of jobs, instead of the host's accounts and host names."""
INTERNET_HOSTS = "hosts-internet"
"""Name of the /etc/hosts with the host's own entries, for jobs on the host's network."""
USER_INSIDE = "1000"


def arguments(
    *,
    folder: Path,
    rank: int,
    stubs: Path,
    internet: bool,
    unshare_network: bool,
    read_only: Sequence[str],
    hidden: Sequence[str],
    mounts: Sequence[Mount],
    bindings: Sequence[Binding],
    device_nodes: Sequence[str],
    shared_memory_bytes: int | None,
    image: str = "",
    driver: Mapping[str, str] = MappingProxyType({}),
) -> list[Argument]:
    """Return the options for one task; the supervisor adds the command and its environment variables.

    `shared_memory_bytes`: size of a private /dev/shm; None: all tasks of the attempt share one. `image`: folder of an unpacked
    container image, which is shown instead of the host's system. `driver`: where files of the host are shown beside an image → the files.
    """
    found: list[Argument] = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts"]
    found += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    found += ["--uid", USER_INSIDE, "--gid", USER_INSIDE, "--hostname", "pearl"]
    if unshare_network:
        found.append("--unshare-net")
    found += _image_root(image) if image else _host_root()
    found += _names(stubs, internet=internet, only=("hosts",) if image else tuple(STUBS))
    found += ["--proc", "/proc", "--dev", "/dev"]
    if shared_memory_bytes is None:
        found += ["--bind", {"path": str(folder / SHARED_MEMORY)}, "/dev/shm"]  # noqa: S108
    else:
        found += ["--size", str(shared_memory_bytes), "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    for node in device_nodes:
        found += ["--dev-bind", {"path": node}, node]
    found += ["--remount-ro", "/dev"]
    for name, place in INSIDE.items():
        found += ["--bind", {"path": str(folder / name)}, place]
    found += ["--bind", {"path": str(folder / "user-metrics" / f"{rank}.jsonl")}, METRICS_INSIDE]
    if image:
        found += ["--bind", {"path": str(folder / "tmp")}, "/var/tmp"]  # noqa: S108
    else:
        found += ["--symlink", "/tmp", "/var/tmp"]  # noqa: S108
    found += ["--dir", "/run"]
    if device_nodes:
        found += _read_only("/sys")
    for path in read_only:
        found += _read_only(path)
    for target, source in driver.items():
        found += ["--ro-bind", {"path": source}, target]
    for path in _nested(hidden, [*(() if image else (*SYSTEM, *ETC)), *read_only]):
        found += ["--tmpfs", path, "--remount-ro", path]
    for mount in mounts:
        found += ["--bind" if mount.writable else "--ro-bind", {"path": mount.source}, mount.target]
    for binding in bindings:
        found += ["--ro-bind", {"path": str(folder / "work" / binding.path)}, binding.target]
    return [*found, "--remount-ro", "/", "--chdir", INSIDE["work"]]


def _host_root() -> list[Argument]:
    """Return the options that show the host's programs and libraries."""
    found = [option for path in SYSTEM for option in _system(path)]
    found += ["--perms", "0755", "--dir", "/etc"]
    return found + [option for path in ETC for option in _read_only(path)]


def _image_root(image: str) -> list[Argument]:
    """Return the options that show an image, read-only."""
    found: list[Argument] = []
    for name, link in images.top_level(Path(image)):
        if link is None:
            found += ["--ro-bind", {"path": f"{image}/{name}"}, f"/{name}"]
        else:
            found += ["--symlink", link, f"/{name}"]
    return found


def _names(stubs: Path, *, internet: bool, only: Sequence[str]) -> list[Argument]:
    """Return the options that show our accounts and host names instead of the host's, and its resolver to jobs on its network."""
    found: list[Argument] = []
    for name in only:
        shown = INTERNET_HOSTS if name == "hosts" and internet else name
        found += ["--ro-bind", {"path": str(stubs / shown)}, f"/etc/{name}"]
    if internet and os.path.exists("/etc/resolv.conf"):  # noqa: PTH110
        found += ["--ro-bind", {"path": os.path.realpath("/etc/resolv.conf")}, "/etc/resolv.conf"]
    return found


def _system(path: str) -> list[Argument]:
    """Return the options that show a system folder; /bin, for one, may be a folder or a link into /usr."""
    if os.path.islink(path):  # noqa: PTH114
        return ["--symlink", os.readlink(path), path]  # noqa: PTH115
    return _read_only(path)


def _read_only(path: str) -> list[Argument]:
    return ["--ro-bind", {"path": path}, path] if os.path.exists(path) else []  # noqa: PTH110


def _nested(hidden: Iterable[str], shown: Sequence[str]) -> list[str]:
    """Return the folders of `hidden` that lie inside a folder of `shown`."""
    real = [os.path.realpath(path) for path in shown]
    return [
        path
        for path in dict.fromkeys(os.path.realpath(item) for item in hidden)
        if any(f"{path}/".startswith(f"{item}/") for item in real) and os.path.isdir(path)  # noqa: PTH112
    ]
