"""A center's own history, as `pearl trace export` writes it: JSON lines, or the same columns as CSV.

`submitted` is RFC 3339 or seconds; `duration_s` the run time that counted; the rest says what one task asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pearlstreet.base.text import text
from pearlstreet.compute.pool.slices import share_request
from pearlstreet.compute.replay.reading.philly import moment
from pearlstreet.compute.replay.reading.rows import (
    LONGEST_S,
    BadField,
    Findings,
    Row,
    csv_rows,
    json_rows,
    read_rows,
)
from pearlstreet.compute.replay.trace import Job
from pearlstreet.compute.scheduling.rows import Request

FIELDS = (
    "job", "org", "project", "user", "submitted", "duration_s", "state", "tasks", "accelerators", "count",
    "fraction_memory_gib", "fraction_compute_percent", "cpus", "memory_gib", "priority", "time_limit_s", "preemptible",
    "ran_on", "min_tasks", "max_tasks", "queue",
)  # fmt: skip
"""Columns of one job. `accelerators` are patterns of allowed models, joined with `|`."""
COLUMNS = ("job", "submitted", "duration_s")
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the CSV file."""
    return read_rows(csv_rows(lines, findings, COLUMNS), make, findings)


def read_json(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the JSON lines."""
    return read_rows(json_rows(lines, findings), make, findings)


def make(row: Row) -> Job:
    """Return one job of the history."""
    org = row.word("org", "all")
    tasks = max(row.whole("tasks", default=1), 1)
    fewest, most = _elastic(row, tasks)
    return Job(
        id=row.word("job"),
        submit_s=_submitted(row),
        duration_s=row.number("duration_s", most=LONGEST_S),
        request=_request(row),
        tasks=tasks,
        org=org,
        project=row.word("project", org),
        user=row.word("user", ""),
        queue=row.word("queue", ""),
        priority=_priority(row),
        limit_s=row.number("time_limit_s", default=0.0, most=LONGEST_S),
        preemptible=_yes(row, "preemptible"),
        min_tasks=fewest,
        max_tasks=most,
    )


def _elastic(row: Row, tasks: int) -> tuple[int, int]:
    """Return the smallest and largest number of tasks; (0, 0) when the job is not elastic."""
    most = row.whole("max_tasks", default=0)
    fewest = row.whole("min_tasks", default=0) or (1 if most else 0)
    if (fewest or most) and not fewest <= tasks <= most:
        raise BadField(
            "tasks",
            text("tasks is {tasks}, not between {low} and {high}", tasks=tasks, low=fewest, high=most),
            text("An elastic job starts with a number of tasks between its fewest and its most"),
        )
    return fewest, most


def _submitted(row: Row) -> float:
    value = row.values.get("submitted")
    if isinstance(value, int | float) or (isinstance(value, str) and value.replace(".", "", 1).isdigit()):
        return row.number("submitted")
    return moment(row, "submitted")


def _request(row: Row) -> Request:
    accelerators = row.values.get("accelerators") or ()
    if isinstance(accelerators, list | tuple):
        if not all(isinstance(word, str) for word in accelerators):
            raise BadField("accelerators", text("{field} is not a list of names", field="accelerators"))
        models = tuple(accelerators)
    else:
        models = tuple(word for word in row.word("accelerators", "").split("|") if word)
    memory = row.number("fraction_memory_gib", default=0.0, most=1e6)
    compute = row.number("fraction_compute_percent", default=0.0, most=100.0)
    count = row.whole("count", default=0)
    share = share_request(memory or None, compute or None) if memory or compute else None
    if share is not None and count:
        raise BadField(
            "count",
            text("A task asks for whole devices or for part of one, not for both"),
            text("Leave {field} empty", field="count"),
        )
    return Request(
        accelerators=models,
        count=count,
        share=share,
        cpu_milli=round(row.number("cpus", default=0.0, most=1e6) * 1000),
        memory_mib=round(row.number("memory_gib", default=0.0, most=1e9) * 1024),
    )


def _priority(row: Row) -> int:
    value = row.values.get("priority")
    try:
        found = int(str(value)) if value not in (None, "") else 0
    except ValueError:
        found = MOST_PRIORITY + 1
    if abs(found) > MOST_PRIORITY:
        raise BadField(
            "priority",
            text("{field} is {value}, not a whole number", field="priority", value=repr(value)[:60]),
        )
    return found


MOST_PRIORITY = 1_000_000_000


def _yes(row: Row, name: str) -> bool:
    value = row.values.get(name)
    if isinstance(value, bool):
        return value
    said = row.word(name, "").lower()
    if said not in _TRUE | _FALSE:
        raise BadField(name, text("{field} is {value}, not true or false", field=name, value=repr(said)[:60]))
    return said in _TRUE
