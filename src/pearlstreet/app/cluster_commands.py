"""`pearl cluster`: from a list of hosts to a Slurm cluster. It needs no center, only ssh to the hosts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pearlstreet.base.clock import US_PER_S, SystemClock
from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.rng import SystemRng
from pearlstreet.base.text import Text, plural, text
from pearlstreet.cli.output import confirm, done, err, language, out, say, say_plural, show_json, table, warn
from pearlstreet.compute.clusters.facts import host_facts
from pearlstreet.compute.clusters.hosts_file import HostsFile, SshEntry, read_hosts_file
from pearlstreet.compute.clusters.keys import new_keys
from pearlstreet.compute.clusters.model import ClusterEntry, ClusterPlan, HostEntry, HostFacts
from pearlstreet.compute.clusters.plan import INSTALL, plan_cluster
from pearlstreet.compute.clusters.writing import Changes, changes, kept_keys, write
from pearlstreet.compute.hardware.access import LocalHost
from pearlstreet.compute.hardware.ssh_host import SshHost, SshTarget

PROBES_AT_ONCE = 16
SHOWN_LINES = 40
cluster = typer.Typer(help="Plan a Slurm cluster from a list of hosts.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(cluster, name="cluster")


@cluster.command("plan")
def plan(
    hosts: Annotated[
        Path | None, typer.Argument(help="The hosts file (TOML); left out: this machine alone")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files")] = Path("cluster"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON")] = False,
) -> None:
    """Look at each host and write the files that make a Slurm cluster of them, with a script that installs it."""
    wanted = _read(hosts)
    facts = _look(wanted)
    keys = {**new_keys(SystemRng(), accounting=bool(wanted.cluster.accounting)), **kept_keys(folder)}
    made = plan_cluster(wanted.cluster, facts, keys)
    change = changes(folder, made)
    if as_json:
        confirm("Write the changed files?", yes or not change.changed)
        write(folder, made.files)
        show_json(_as_json(wanted.cluster, facts, made, change, folder))
        return
    _show_hosts(wanted.cluster, facts)
    for warning in made.warnings:
        warn(warning)
    _show_changes(folder, made, change)
    confirm("Write the changed files?", yes or not change.changed)
    write(folder, made.files)
    _say_next(wanted.cluster, folder, made)


def _read(file: Path | None) -> HostsFile:
    if file is None:
        name = LocalHost().amounts().name.partition(".")[0]
        here = HostEntry(name=name, address="127.0.0.1", is_here=True)
        return HostsFile(ClusterEntry(name="pearl", controller=name, hosts=(here,)), SshEntry())
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(
            text("{file} cannot be read: {problem}", file=str(file), problem=error.strerror or "")
        ) from None
    return read_hosts_file(content, str(file))


def _look(wanted: HostsFile) -> dict[str, HostFacts]:
    """Return what each host has. Raises InvalidInput that names every host that could not be asked."""
    hosts = wanted.cluster.hosts
    problems: list[Problem] = []
    found: dict[str, HostFacts] = {}
    with (
        err.status(say_plural("Asking {count} host …", "Asking {count} hosts …", count=len(hosts))),
        ThreadPoolExecutor(PROBES_AT_ONCE) as pool,
    ):
        for host, answer in zip(hosts, pool.map(partial(_ask, wanted.ssh), hosts), strict=True):
            if isinstance(answer, HostFacts):
                found[host.name] = answer
            else:
                problems.append(Problem(host.name, answer.message, hint=answer.hint))
    if problems:
        raise InvalidInput(text("Not every host could be asked; nothing was written"), problems=problems)
    return found


def _ask(ssh: SshEntry, host: HostEntry) -> HostFacts | PearlError:
    if host.described is not None:
        return host.described
    if host.is_here:
        return host_facts(LocalHost(), _now_s)
    remote = SshHost(SshTarget(host.address, ssh.user, ssh.port, ssh.key_file, ssh.known_hosts_file))
    try:
        remote.connect()
        return host_facts(remote, _now_s)
    except PearlError as error:
        return error
    finally:
        remote.close()


def _now_s() -> float:
    return SystemClock().now_us() / US_PER_S


def _show_hosts(entry: ClusterEntry, facts: Mapping[str, HostFacts]) -> None:
    rows = []
    for host in entry.hosts:
        seen = facts[host.name]
        parts = [
            *(["controller"] if host.name == entry.controller else []),
            *(["accounting"] if host.name == entry.accounting else []),
            *(["compute"] if host.is_compute else []),
        ]
        devices = ", ".join(f"{len(some.files)} x {some.model}" for some in seen.devices) or "-"
        rows.append(
            (host.name, " ".join(parts), seen.cpus, f"{seen.memory_mib / 1024:.0f}", devices, host.rack)
        )
    table(("host", "parts", "CPUs", "memory GiB", "devices", "rack"), rows, right=(2, 3))


def _show_changes(folder: Path, made: ClusterPlan, change: Changes) -> None:
    for name in change.changed:
        if made.files[name].is_secret:
            err.print(say("{file} changes", file=name), markup=False)
            continue
        before = (folder / name).read_text(errors="replace").splitlines()
        after = made.files[name].content.decode().splitlines()
        for line in list(difflib.unified_diff(before, after, name, name, lineterm=""))[:SHOWN_LINES]:
            err.print(line, markup=False)


def _say_next(entry: ClusterEntry, folder: Path, made: ClusterPlan) -> None:
    done(
        plural(
            "{count} file is in {folder}; it holds secrets, keep it safe",
            "{count} files are in {folder}; it holds secrets, keep it safe",
            count=len(made.files),
            folder=str(folder),
        )
    )
    first = list(dict.fromkeys([entry.controller, *([entry.accounting] if entry.accounting else [])]))
    others = [host.name for host in entry.hosts if host.name not in first]
    out.print(say("Then, as root on each host, with a copy of the folder:"), markup=False)
    for name in [*first, *others[:3]]:
        out.print(f"  {name}: sh {folder.name}/{INSTALL}", markup=False)
    if len(others) > 3:
        out.print(
            say_plural("  … and {count} more host", "  … and {count} more hosts", count=len(others) - 3),
            markup=False,
        )


def _as_json(
    entry: ClusterEntry, facts: Mapping[str, HostFacts], made: ClusterPlan, change: Changes, folder: Path
) -> dict[str, object]:
    def shown(host: HostEntry) -> dict[str, object]:
        seen = facts[host.name]
        return {
            "name": host.name,
            "is_compute": host.is_compute,
            "cpus": seen.cpus,
            "memory_mib": seen.memory_mib,
            "devices": [{"model": some.model, "count": len(some.files)} for some in seen.devices],
            "system": seen.system,
            "problems": _rendered(seen.problems),
        }

    return {
        "cluster": entry.name,
        "folder": str(folder),
        "hosts": [shown(host) for host in entry.hosts],
        "warnings": _rendered(made.warnings),
        "new": list(change.new),
        "changed": list(change.changed),
    }


def _rendered(texts: Sequence[Text]) -> list[str]:
    return [one.render(language()) for one in texts]
