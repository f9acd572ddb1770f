"""Microsoft's Philly in the Pollux cut: `timestamp,duration,num_gpus[,gpu_time],cluster`, a virtual cluster a row.

M. Jeon et al., "Analysis of large-scale multi-tenant GPU clusters for DNN training workloads", ATC 2019. Jobs have no
id: they are numbered in the order of their time stamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pearlstreet.base.text import text
from pearlstreet.compute.replay.reading.rows import LONGEST_S, BadField, Findings, Row, csv_rows, read_rows
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.trace import Job

COLUMNS = ("timestamp", "duration", "num_gpus", "cluster")


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the file, by time stamp."""

    def make(row: Row) -> Job:
        tasks, each = gang(row.whole("num_gpus"), per_node)
        return Job(
            id=f"line-{row.line}",
            submit_s=moment(row, "timestamp"),
            duration_s=row.number("duration", most=LONGEST_S),
            request=whole_devices(each),
            tasks=tasks,
            org=row.word("cluster"),
        )

    jobs = sorted(read_rows(csv_rows(lines, findings, COLUMNS), make, findings), key=lambda job: job.submit_s)
    first = jobs[0].submit_s if jobs else 0.0
    return (replace(job, id=str(number), submit_s=job.submit_s - first) for number, job in enumerate(jobs))


def moment(row: Row, name: str) -> float:
    """Return seconds since 1970 of an ISO 8601 time; one without a zone is taken as UTC."""
    shown = row.word(name)
    try:
        at = datetime.fromisoformat(shown)
    except ValueError:
        raise BadField(
            name,
            text("{field} is {value}, not a time", field=name, value=repr(shown)[:60]),
            text("Write it like 2017-10-01 00:00:45"),
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
