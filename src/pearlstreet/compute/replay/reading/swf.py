"""The Standard Workload Format of the Parallel Workloads Archive (Feitelson, Tsafrir, Krakov, 2014): 18 numbers a line.

Fields used: 1 job, 2 submit, 4 run time, 5 processors given, 8 processors asked, 9 time asked, 12 user, 13 group, 15 queue.
Processors count as devices. A job that never ran (run time -1 or 0 processors) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pearlstreet.base.text import plural, text
from pearlstreet.compute.replay.reading.rows import LONGEST_S, Findings, Row, read_rows
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.trace import Job

NAMES = (
    "job", "submit", "wait", "run", "given", "cpu_time", "memory_used", "processors", "time", "memory", "status",
    "user", "group", "program", "queue", "partition", "preceding", "think",
)  # fmt: skip
_UNKNOWN = {"-1", "-1.0", "-1.00"}


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the file; lines that begin with a semicolon are its header."""

    def make(row: Row) -> Job | None:
        asked = row.whole("processors", default=0) or row.whole("given", default=0)
        if row.values["run"] == "" or asked == 0:
            return None
        tasks, each = gang(asked, per_node)
        return Job(
            id=row.word("job"),
            submit_s=row.number("submit"),
            duration_s=row.number("run", most=LONGEST_S),
            request=whole_devices(each),
            tasks=tasks,
            org=row.word("group", "all"),
            user=row.word("user", ""),
            queue=row.word("queue", ""),
            limit_s=row.number("time", default=0.0, most=LONGEST_S),
        )

    return read_rows(_rows(lines, findings), make, findings)


def _rows(lines: Iterable[str], findings: Findings) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.startswith(";") or not line.strip():
            continue
        cells = line.split()
        if len(cells) != len(NAMES):
            findings.note(
                number,
                "-",
                plural(
                    "{count} value stands under {columns} columns",
                    "{count} values stand under {columns} columns",
                    count=len(cells),
                    columns=len(NAMES),
                ),
                text("The format has 18 numbers a line, -1 for what is not known"),
            )
            continue
        yield Row(number, {n: "" if v in _UNKNOWN else v for n, v in zip(NAMES, cells, strict=True)})
