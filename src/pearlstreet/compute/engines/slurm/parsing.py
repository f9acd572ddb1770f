"""Reads the JSON of slurmrestd and of Slurm's commands into values. Pure.

`squeue --json` and `sinfo --json` write what slurmrestd answers. Newer versions write a number as an object that tells whether
it is set, and a state as a list; one reader takes both forms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from pearlstreet.compute.engines.slurm.gres import parse_gres
from pearlstreet.compute.engines.slurm.hostlist import expand_hosts
from pearlstreet.compute.engines.slurm.model import Share, SlurmJob, SlurmNode

Raw = Mapping[str, Any]
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
"""Errors by which an entry that is not of the known form shows."""


def parse_jobs(items: Iterable[Raw]) -> list[SlurmJob]:
    """Return jobs; entries that cannot be read are left out."""
    found = []
    for item in items:
        with contextlib.suppress(*UNREADABLE):
            found.append(parse_job(item))
    return found


def parse_job(item: Raw) -> SlurmJob:
    """Return a job. Raises one of UNREADABLE if it cannot be read."""
    code, signal = _exit(item.get("exit_code"))
    nodes = expand_hosts(str(item.get("nodes") or ""))
    return SlurmJob(
        job_id=int(item["job_id"]),
        name=str(item.get("name") or ""),
        user=str(item.get("user_name") or item.get("user_id") or ""),
        states=_words(item["job_state"]),
        reason=str(item.get("state_reason") or ""),
        nodes=nodes,
        submit_s=_number(item.get("submit_time")) or 0,
        start_s=_number(item.get("start_time")) or None,
        end_s=_number(item.get("end_time")) or None,
        exit_code=code,
        signal=signal,
        restarts=_number(item.get("restart_cnt")) or 0,
        shares=tuple(_shares(item, nodes)),
    )


def parse_accounts(items: Iterable[Raw]) -> list[SlurmJob]:
    """Return the jobs that slurmdb lists; entries that cannot be read are left out."""
    found = []
    for item in items:
        with contextlib.suppress(*UNREADABLE):
            times = item["time"]
            found.append(
                SlurmJob(
                    job_id=int(item["job_id"]),
                    name=str(item.get("name") or ""),
                    user=str(item.get("user") or (item.get("association") or {}).get("user") or ""),
                    states=_words(item["state"]["current"]),
                    submit_s=_number(times.get("submission")) or 0,
                    start_s=_number(times.get("start")) or None,
                    end_s=_number(times.get("end")) or None,
                )
            )
    return found


SACCT_FIELDS = "JobIDRaw,User,State,Submit,Start,End,JobName"


def parse_sacct(output: str) -> list[SlurmJob]:
    """Return the jobs in what `sacct --parsable2` writes of SACCT_FIELDS, with times in s since 1970."""
    found = []
    for line in output.splitlines():
        fields = line.split("|", 6)
        if len(fields) == 7 and fields[0].isdecimal():
            submit_s, start_s, end_s = (int(word) if word.isdecimal() else None for word in fields[3:6])
            states = tuple(fields[2].split()[:1])
            found.append(
                SlurmJob(int(fields[0]), fields[6], fields[1], states, "", (), submit_s or 0, start_s, end_s)
            )
    return found


def parse_nodes(items: Iterable[Raw]) -> list[SlurmNode]:
    """Return nodes; entries that cannot be read are left out."""
    found = []
    for item in items:
        with contextlib.suppress(*UNREADABLE):
            found.append(parse_node(item))
    return found


def parse_node(item: Raw) -> SlurmNode:
    """Return a node. Raises one of UNREADABLE if it cannot be read."""
    facts = {
        "system": str(item.get("operating_system") or ""),
        "architecture": str(item.get("architecture") or ""),
        "slurm": str(item.get("slurmd_version") or item.get("version") or ""),
    }
    return SlurmNode(
        name=str(item["name"]),
        states=(*_words(item["state"]), *_words(item.get("state_flags"))),
        cpus=_number(item.get("effective_cpus")) or int(item["cpus"]),
        memory_mib=int(item["real_memory"]),
        cpus_used=_number(item.get("alloc_cpus")) or 0,
        memory_used_mib=_number(item.get("alloc_memory")) or 0,
        gres=parse_gres(str(item.get("gres") or "")),
        gres_used=parse_gres(str(item.get("gres_used") or "")),
        partitions=_words(item.get("partitions")),
        features=_words(item.get("active_features")),
        reason=str(item.get("reason") or ""),
        address=str(item.get("address") or item["name"]),
        facts={name: value for name, value in facts.items() if value},
    )


def _number(value: Any) -> int | None:
    """Return a number that may be an object such as {"set": true, "infinite": false, "number": 4}; None: not set."""
    if isinstance(value, Mapping):
        return int(value["number"]) if value.get("set") and not value.get("infinite") else None
    return None if value is None else int(value)


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(word for word in value.replace("+", ",").split(",") if word)
    return tuple(str(word) for word in value or ())


def _exit(value: Any) -> tuple[int | None, int | None]:
    """Return the exit code and the signal of a wait status or of its parts."""
    if isinstance(value, Mapping):
        signal = value.get("signal") or {}
        number = signal.get("id", signal.get("signal_id")) if isinstance(signal, Mapping) else None
        return _number(value.get("return_code")), _number(number) or None
    status = _number(value)
    return (None, None) if status is None else (status >> 8, (status & 0x7F) or None)


def _shares(item: Raw, nodes: tuple[str, ...]) -> Iterable[Share]:
    """Yield what the job has of each node: Slurm lists both in the order of the nodes."""
    resources = item.get("job_resources") or {}
    rows = resources.get("allocated_nodes")
    if rows is None:
        rows = (
            (resources.get("nodes") or {}).get("allocation")
            if isinstance(resources.get("nodes"), Mapping)
            else None
        )
    gres = [parse_gres(words) for words in item.get("gres_detail") or ()]
    for number, row in enumerate(rows or ()):
        name = str(row.get("nodename") or row.get("name") or (nodes[number] if number < len(nodes) else ""))
        yield Share(name, _cpus(row), _memory(row), gres[number] if number < len(gres) else ())


def _cpus(row: Raw) -> int:
    cpus = row.get("cpus")
    if isinstance(cpus, Mapping):
        return _number(cpus.get("count")) or 0
    sockets = row.get("sockets")
    values = sockets.values() if isinstance(sockets, Mapping) else sockets or ()
    return sum(len(socket.get("cores") or ()) for socket in values)


def _memory(row: Raw) -> int:
    memory = row.get("memory")
    if isinstance(memory, Mapping):
        return _number(memory.get("allocated")) or 0
    return _number(row.get("memory_allocated")) or 0
