"""Reads the output of `sacct --parsable2`: columns with names, separated by `|`. Steps (`12.batch`) and jobs that never ran are left out.

    sacct -a -X --parsable2 --format=JobID,User,Account,Partition,Submit,Start,End,ElapsedRaw,TimelimitRaw,NNodes,ReqTRES,State

https://slurm.schedmd.com/sacct.html names the fields. Devices are `gres/gpu` of ReqTRES (or AllocTRES, or ReqGRES); a job
without any asks for its CPUs and memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from pearlstreet.base.text import text
from pearlstreet.compute.replay.reading.philly import moment
from pearlstreet.compute.replay.reading.rows import LONGEST_S, BadField, Findings, Row, csv_rows, read_rows
from pearlstreet.compute.replay.reading.shapes import gang
from pearlstreet.compute.replay.trace import Job
from pearlstreet.compute.scheduling.rows import Request

COLUMNS = ("JobID", "Submit")
_NEVER = {"", "None", "Unknown", "N/A"}
_CLOCK = re.compile(r"^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?$")
_GPU = re.compile(r"(?:gres/|gres:)?gpu(?:[:/]([\w.-]+))?[=:](\d+)")
_AMOUNT = re.compile(r"^([\d.]+)([KMGTP]?)[nc]?$")
_MIB = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the file."""

    def make(row: Row) -> Job | None:
        name = row.word("JobID")
        if "." in name:
            return None
        duration = _elapsed(row)
        if duration is None:
            return None
        tasks, request = _gang(row, per_node)
        return Job(
            id=name,
            submit_s=moment(row, "Submit"),
            duration_s=duration,
            request=request,
            tasks=tasks,
            org=row.word("Account", "all"),
            user=row.word("User", ""),
            queue=row.word("Partition", ""),
            limit_s=_limit(row),
        )

    return read_rows(csv_rows(lines, findings, COLUMNS, "|"), make, findings)


def _elapsed(row: Row) -> float | None:
    if row.word("Start", "None") in _NEVER and "Start" in row.values:
        return None
    if "ElapsedRaw" in row.values:
        return row.number("ElapsedRaw", most=LONGEST_S)
    if "Elapsed" in row.values:
        return _clock(row, "Elapsed")
    if row.word("End", "") in _NEVER:
        return None
    start, end = moment(row, "Start"), moment(row, "End")
    if end < start:
        raise BadField("End", text("{field} is before {other}", field="End", other="Start"))
    return end - start


def _limit(row: Row) -> float:
    if row.values.get("TimelimitRaw") not in (None, "", "UNLIMITED", "Partition_Limit"):
        return 60 * row.number("TimelimitRaw", most=LONGEST_S / 60)
    if row.values.get("Timelimit") in (None, "", "UNLIMITED", "Partition_Limit"):
        return 0.0
    return _clock(row, "Timelimit")


def _clock(row: Row, name: str) -> float:
    shown = row.word(name)
    match = _CLOCK.match(shown)
    if match is None:
        raise BadField(
            name,
            text("{field} is {value}, not a time", field=name, value=repr(shown)[:60]),
            text("Write it like 1-02:03:04"),
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def _gang(row: Row, per_node: int) -> tuple[int, Request]:
    given = row.word("ReqTRES", "") or row.word("AllocTRES", "")
    tres = dict(part.partition("=")[::2] for part in given.split(",") if part)
    nodes = max(int(_amount("NNodes", tres.get("node") or row.word("NNodes", "1"))), 1)
    devices, models = _devices(given or row.word("ReqGRES", ""), row, nodes)
    cpus = _amount("cpu", tres.get("cpu") or row.word("ReqCPUS", "") or "1")
    memory = _memory(tres.get("mem", "0"))
    tasks, each = (nodes, devices // nodes) if devices % nodes == 0 else gang(devices, per_node)
    cpu_milli = math.ceil(cpus * 1000 / tasks)
    return tasks, Request(models, each, None, cpu_milli, math.ceil(memory / tasks))


def _devices(said: str, row: Row, nodes: int) -> tuple[int, tuple[str, ...]]:
    """Return devices in all and their model; a typed entry counts once beside the untyped sum."""
    plain, typed = 0, 0
    models: list[str] = []
    for model, count in _GPU.findall(said):
        if model:
            typed, models = typed + int(count), [*models, model]
        else:
            plain = max(plain, int(count))
    total = plain or typed
    if not row.word("ReqTRES", "") and not row.word("AllocTRES", ""):
        total *= nodes  # ReqGRES counts for each node
    return total, tuple(sorted(set(models)))


def _amount(name: str, said: str) -> float:
    match = _AMOUNT.match(said)
    if match is None or match[1].count(".") > 1 or match[1] == ".":
        raise BadField(name, text("{field} is {value}, not a number", field=name, value=repr(said)[:60]))
    return float(match[1]) * {"K": 1e3, "M": 1e6}.get(match[2], 1.0)


def _memory(said: str) -> float:
    match = _AMOUNT.match(said)
    if match is None or match[1].count(".") > 1 or match[1] == ".":
        raise BadField(
            "mem", text("{field} is {value}, not an amount of memory", field="mem", value=repr(said)[:60])
        )
    return float(match[1]) * _MIB[match[2]]
