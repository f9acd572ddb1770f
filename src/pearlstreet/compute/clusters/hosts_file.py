"""Reads the hosts file (TOML): the cluster, how ssh reaches its hosts, and one entry for each host or range of hosts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.clusters.host_ranges import expand
from pearlstreet.compute.clusters.model import (
    SHARINGS,
    ClusterEntry,
    Devices,
    HostEntry,
    HostFacts,
    Sharing,
)

T = TypeVar("T", str, int, float, bool)
HOSTS_MAX = 10_000
EXAMPLE = """\
[cluster]
name = "river"
controller = "head"

[[hosts]]
name = "head"
address = "10.0.0.1"
compute = false

[[hosts]]
name = "n[01-16]"
address = "10.0.1.[1-16]"
"""
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{0,62}")
_CLUSTER = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_ADDRESS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.:_-]{0,252}")
_FOLDER = re.compile(r"/[a-zA-Z0-9._/-]{0,200}")
_FILE = re.compile(r"/[a-zA-Z0-9._/\[\],-]{1,200}")
_WORD = re.compile(r"[a-zA-Z0-9._-]{0,60}")


@dataclass(frozen=True, slots=True)
class SshEntry:
    """How ssh reaches hosts; empty fields: as the ssh configuration of the user says."""

    user: str = ""
    port: int | None = None
    key_file: str = ""
    known_hosts_file: str = ""
    """File with the keys of the hosts, as ssh-keyscan prints them."""


@dataclass(frozen=True, slots=True)
class HostsFile:
    """What a hosts file says."""

    cluster: ClusterEntry
    ssh: SshEntry


@dataclass(slots=True)
class _Table:
    """One table of the file: takes keys out of it and keeps what is wrong with them."""

    place: str
    values: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)

    def take(self, key: str, kind: type[T], default: T, *, pattern: re.Pattern[str] | None = None) -> T:
        """Return the value of a key, or `default`."""
        if key not in self.values:
            return default
        value = self.values.pop(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(key, text("It must be of type {kind}", kind=_KINDS[kind]))
            return default
        if pattern is not None and isinstance(value, str) and pattern.fullmatch(value) is None:
            self.refuse(key, text("{value} cannot be used here", value=repr(value[:80])))
            return default
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number between two bounds."""
        value = self.take(key, int, default)
        if not low <= value <= high:
            self.refuse(key, text("It must be between {low} and {high}", low=low, high=high))
            return default
        return value

    def refuse(self, key: str, message: Text, hint: Text | None = None) -> None:
        """Note a problem of a key."""
        self.problems.append(Problem(f"{self.place}{key}", message, hint=hint))

    def done(self, known: tuple[str, ...]) -> None:
        """Refuse the keys that nothing took."""
        for key in self.values:
            hint = text("Known keys: {names}", names=", ".join(known))
            self.refuse(key, text("There is no such key"), hint)


_KINDS: Mapping[type, Text] = {
    str: text("text"),
    int: text("whole number"),
    float: text("number"),
    bool: text("true or false"),
}


def read_hosts_file(content: bytes, file: str = "hosts.toml") -> HostsFile:
    """Return what a hosts file says. Raises InvalidInput with every problem at once, each with its place."""
    try:
        whole = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(
            text("{file} is no TOML file: {problem}", file=file, problem=str(error)),
            hint=text("Write for example:\n{example}", example=EXAMPLE),
        ) from None
    problems: list[Problem] = []
    ssh = _ssh(_table(whole.pop("ssh", {}), "ssh.", problems))
    cluster_table = _table(whole.pop("cluster", {}), "cluster.", problems)
    entries = whole.pop("hosts", [])
    hosts = _hosts(entries, problems)
    cluster = _cluster(cluster_table, hosts)
    problems += [Problem(key, text("There is no such table")) for key in whole]
    if problems:
        named = [
            Problem(problem.field, problem.message, file=file, hint=problem.hint) for problem in problems
        ]
        raise InvalidInput(text("{file} cannot be used", file=file), problems=named)
    return HostsFile(cluster, ssh)


def _table(value: object, place: str, problems: list[Problem]) -> _Table:
    if not isinstance(value, dict):
        problems.append(Problem(place.rstrip("."), text("It must be a table")))
        value = {}
    return _Table(place, dict(value), problems)


def _ssh(table: _Table) -> SshEntry:
    port = table.number("port", 0, 1, 65_535) if "port" in table.values else 0
    entry = SshEntry(
        user=table.take("user", str, "", pattern=_WORD),
        port=port or None,
        key_file=table.take("key", str, ""),
        known_hosts_file=table.take("known_hosts", str, ""),
    )
    table.done(("user", "port", "key", "known_hosts"))
    return entry


_CLUSTER_KEYS = (
    "name", "controller", "accounting", "shared_folder", "partition", "slurmctld_port", "slurmd_port", "slurmdbd_port",
    "slurmrestd_port",
)  # fmt: skip


def _cluster(table: _Table, hosts: tuple[HostEntry, ...]) -> ClusterEntry:
    known = [host.name for host in hosts]
    controller = table.take("controller", str, known[0] if known else "")
    accounting = table.take("accounting", str, "")
    for key, name in (("controller", controller), ("accounting", accounting)):
        if name and known and name not in known:
            hint = text("Hosts of this file: {names}", names=", ".join(known[:20]))
            table.refuse(key, text("{host} is no host of this file", host=repr(name)), hint)
    plain = ClusterEntry(name="", controller="")
    entry = ClusterEntry(
        name=table.take("name", str, "pearl", pattern=_CLUSTER),
        controller=controller,
        accounting=accounting,
        shared_folder=table.take("shared_folder", str, "", pattern=_FOLDER),
        partition=table.take("partition", str, plain.partition, pattern=_CLUSTER),
        slurmctld_port=table.number("slurmctld_port", plain.slurmctld_port, 1, 65_535),
        slurmd_port=table.number("slurmd_port", plain.slurmd_port, 1, 65_535),
        slurmdbd_port=table.number("slurmdbd_port", plain.slurmdbd_port, 1, 65_535),
        slurmrestd_port=table.number("slurmrestd_port", plain.slurmrestd_port, 1, 65_535),
        hosts=hosts,
    )
    table.done(_CLUSTER_KEYS)
    if hosts and not any(host.is_compute for host in hosts):
        table.problems.append(
            Problem("hosts", text("No host runs jobs: all have {key}", key="compute = false"))
        )
    return entry


_HOST_KEYS = (
    "name", "address", "here", "rack", "pod", "compute", "sharing", "shares", "reserve_memory_gib", "port", "sockets",
    "cores_per_socket", "threads_per_core", "memory_gib", "devices",
)  # fmt: skip


def _hosts(entries: object, problems: list[Problem]) -> tuple[HostEntry, ...]:
    if not isinstance(entries, list) or not entries:
        hint = text("Write for example:\n{example}", example=EXAMPLE)
        problems.append(Problem("hosts", text("There must be at least one table [[hosts]]"), hint=hint))
        return ()
    found: dict[str, HostEntry] = {}
    for number, entry in enumerate(entries):
        table = _table(entry, f"hosts[{number}].", problems)
        for host in _range(table):
            if host.name in found:
                table.refuse("name", text("{host} is described twice", host=host.name))
            found[host.name] = host
        if len(found) > HOSTS_MAX:
            problems.append(Problem("hosts", text("There are at most {most} hosts", most=HOSTS_MAX)))
            break
    return tuple(found.values())


def _range(table: _Table) -> list[HostEntry]:
    """Return the hosts of one entry: one, or as many as its range has names."""
    written = table.take("name", str, "")
    address = table.take("address", str, "")
    names = _expanded(table, "name", written, _NAME)
    addresses = _expanded(table, "address", address, _ADDRESS) if address else names
    if not names or not addresses:
        names, addresses = (), ()
    elif len(addresses) == 1:
        addresses *= len(names)
    if names and addresses and len(names) != len(addresses):
        table.refuse(
            "address",
            text("{names} names have {addresses} addresses", names=len(names), addresses=len(addresses)),
        )
        names, addresses = (), ()
    common = HostEntry(
        name="",
        address="",
        is_here=table.take("here", bool, False),
        rack=table.take("rack", str, "", pattern=_WORD),
        pod=table.take("pod", str, "", pattern=_WORD),
        is_compute=table.take("compute", bool, True),
        sharing=_sharing(table),
        shares=table.number("shares", 10, 1, 1_000),
        reserve_memory_gib=max(0.0, table.take("reserve_memory_gib", float, 2.0)),
        port=table.number("port", 0, 1, 65_535) if "port" in table.values else None,
        described=_described(table),
    )
    table.done(_HOST_KEYS)
    return [
        replace(common, name=name, address=place, port=common.port + index if common.port else None)
        for index, (name, place) in enumerate(zip(names, addresses, strict=True))
    ]


def _sharing(table: _Table) -> Sharing:
    written = table.take("sharing", str, "none")
    for known in SHARINGS:
        if written == known:
            return known
    table.refuse("sharing", text("{value} cannot be used here", value=repr(written)), _one_of(SHARINGS))
    return "none"


def _expanded(table: _Table, key: str, written: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    try:
        found = expand(written)
    except InvalidInput as error:
        table.refuse(key, error.message, error.hint)
        return ()
    wrong = next((name for name in found if pattern.fullmatch(name) is None), None)
    if wrong is not None:
        hint = text("Write for example {example}", example='name = "n[01-16]"')
        table.refuse(key, text("{value} cannot be used here", value=repr(wrong[:80])), hint)
        return ()
    return found


def _described(table: _Table) -> HostFacts | None:
    """Return what the entry says that its hosts have; None: it says nothing, so they are probed."""
    keys = {"sockets", "cores_per_socket", "threads_per_core", "memory_gib", "devices"}
    if not keys & table.values.keys():
        return None
    missing = [key for key in ("cores_per_socket", "memory_gib") if key not in table.values]
    for key in missing:
        table.refuse(key, text("A host that is described and not probed needs it"))
    return HostFacts(
        sockets=table.number("sockets", 1, 1, 64),
        cores_per_socket=table.number("cores_per_socket", 1, 1, 1_024),
        threads_per_core=table.number("threads_per_core", 1, 1, 8),
        memory_mib=int(max(0.0, table.take("memory_gib", float, 0.0)) * 1024),
        devices=_devices(table),
    )


def _devices(table: _Table) -> tuple[Devices, ...]:
    entries = table.values.pop("devices", [])
    if not isinstance(entries, list):
        table.refuse("devices", text("It must be a list of tables"))
        return ()
    found = []
    for number, entry in enumerate(entries):
        inner = _table(entry, f"{table.place}devices[{number}].", table.problems)
        model = inner.take("model", str, "", pattern=re.compile(r"[\w .()/+-]{1,80}"))
        files = _expanded(inner, "files", inner.take("files", str, ""), _FILE)
        inner.done(("model", "files"))
        if model and files:
            found.append(Devices(model, files))
    return tuple(found)


def _one_of(names: tuple[str, ...]) -> Text:
    return text("Write one of {names}", names=", ".join(names))
