"""Alibaba's openb pods: shares of devices, CPU and memory of each (Weng et al., "Beware of fragmentation", ATC 2023).

With creation and deletion times they are a queue; without, they arrive one after another, stay for ever, and have one
attempt each: the arrival experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from pearlstreet.base.text import plural, text
from pearlstreet.compute.pool.slices import FULL_BP, ShareRequest
from pearlstreet.compute.replay.reading.rows import LONGEST_S, BadField, Findings, Row, csv_rows, read_rows
from pearlstreet.compute.replay.trace import Job
from pearlstreet.compute.scheduling.rows import Request

COLUMNS = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
_BP_PER_MILLI = FULL_BP // 1000
_MOST_MILLI = 10_000_000


def read(lines: Iterable[str], findings: Findings, per_node: int) -> Iterator[Job]:
    """Yield pods of the file."""

    def make(row: Row) -> Job:
        name = row.word("name", "") or row.word("pod", "")
        if not name:
            raise BadField("name", text("{field} is empty", field="name"))
        request = _request(
            row.whole("cpu_milli", most=_MOST_MILLI),
            row.whole("memory_mib", most=1 << 40),
            row.whole("num_gpu"),
            row.number("gpu_milli", default=0.0, most=1_000_000),
            row.word("gpu_spec", ""),
        )
        timed = row.values.get("creation_time") not in (None, "")
        if not timed:
            return Job(name, float(row.line), 0.0, request, stays=True, preemptible=False)
        created = row.number("creation_time")
        began = row.number("scheduled_time", default=created)
        return Job(name, created, _run_s(row, began), request, user=row.word("qos", ""))

    return read_rows(csv_rows(lines, findings, COLUMNS), make, findings)


def _run_s(row: Row, began: float) -> float:
    ended = row.number("deletion_time")
    if ended < began:
        raise BadField(
            "deletion_time",
            text("{later} ({end:g}) is before {earlier} ({start:g})",
                 later="deletion_time", end=ended, earlier="scheduled_time", start=began),
        )  # fmt: skip
    return min(ended - began, LONGEST_S)


@lru_cache(maxsize=65_536)
def _request(cpu: int, memory: int, count: int, milli: float, spec: str) -> Request:
    models = tuple(word for word in spec.split("|") if word)
    if count == 0:
        return Request((), 0, None, cpu, memory)
    if count == 1 and 0 < milli < 1000:
        return Request(models, 0, ShareRequest(0, round(milli * _BP_PER_MILLI)), cpu, memory)
    if milli not in (0, 1000):
        raise BadField(
            "gpu_milli",
            plural(
                "{count} device of {milli:g} thousandths",
                "{count} devices of {milli:g} thousandths each",
                count=count,
                milli=milli,
            ),
            text("A pod takes part of one device, or whole ones (1000)"),
        )
    return Request(models, count, None, cpu, memory)
