"""The traces of Muri (Zhao et al., "Multi-resource interleaving for deep learning training", SIGCOMM 2022): milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pearlstreet.compute.replay.reading.rows import LONGEST_S, Findings, Row, csv_rows, read_rows
from pearlstreet.compute.replay.reading.shapes import gang, whole_devices
from pearlstreet.compute.replay.trace import Job

COLUMNS = ("job_id", "num_gpu", "submit_time", "duration", "iteration_time")


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield jobs of the file: one virtual cluster, the model's name stands for the user's habits."""

    def make(row: Row) -> Job:
        tasks, each = gang(row.whole("num_gpu"), per_node)
        return Job(
            id=row.word("job_id"),
            submit_s=row.number("submit_time", most=LONGEST_S * 1000) / 1000,
            duration_s=row.number("duration", most=LONGEST_S * 1000) / 1000,
            request=whole_devices(each),
            tasks=tasks,
            user=row.word("model_name", ""),
        )

    return read_rows(csv_rows(lines, findings, COLUMNS), make, findings)
