"""The plainest form: `job,vc,submit,duration,gpus[,user][,model]`, seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pearlstreet.compute.replay.reading.rows import LONGEST_S, Findings, Row, csv_rows, read_rows
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.trace import Job

COLUMNS = ("job", "submit", "duration", "gpus")


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the file."""

    def make(row: Row) -> Job:
        tasks, each = gang(row.whole("gpus"), per_node)
        org = row.word("vc", "all")
        return Job(
            id=row.word("job"),
            submit_s=row.number("submit"),
            duration_s=row.number("duration", most=LONGEST_S),
            request=whole_devices(each),
            tasks=tasks,
            org=org,
            user=row.word("user", ""),
        )

    return read_rows(csv_rows(lines, findings, COLUMNS), make, findings)
