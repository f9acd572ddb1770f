"""All formats, and how a file's first line tells which one it has. A new format is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.replay.reading import canonical, history, muri, openb, philly, slurm, swf
from pearlstreet.compute.replay.reading.rows import Findings
from pearlstreet.compute.replay.trace import Job, Trace, make_trace

Reader = Callable[[Iterable[str], Findings, int], Iterator[Job]]
"""Lines of text, where to note what is wrong, and the devices of the cluster's largest node."""

FORMATS: Mapping[str, Reader] = MappingProxyType(
    {
        "canonical": canonical.read,
        "history": history.read,
        "history-json": history.read_json,
        "muri": muri.read,
        "openb": openb.read,
        "philly": philly.read,
        "slurm": slurm.read,
        "swf": swf.read,
    }
)

_SIGNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("slurm", "|", slurm.COLUMNS),
    ("muri", ",", ("iteration_time",)),
    ("philly", ",", ("timestamp", "num_gpus")),
    ("history", ",", ("job", "submitted")),
    ("canonical", ",", ("job", "submit")),
    ("openb", ",", ("cpu_milli", "num_gpu")),
)


def format_of(first_line: str) -> str | None:
    """Return the format whose files begin so."""
    line = first_line.strip().lstrip("\ufeff")
    if line.startswith("{"):
        return "history-json"
    if line.startswith(";") or (len(line.split()) == len(swf.NAMES) and "," not in line and "|" not in line):
        return "swf"
    for name, delimiter, columns in _SIGNS:
        if set(columns) <= {cell.strip() for cell in line.split(delimiter)}:
            return name
    return None


def read_trace(lines: Iterable[str], findings: Findings, *, per_node: int, name: str | None = None) -> Trace:
    """Return the trace in those lines. Raises InvalidInput that says what is wrong and where."""
    rest = iter(lines)
    blank = []
    first = ""
    for first in rest:
        if first.strip():
            break
        blank.append(first)
    found = name or format_of(first)
    if found is None or found not in FORMATS:
        names = ", ".join(FORMATS)
        if name is not None:
            raise InvalidInput(
                text("There is no format named {name}", name=name),
                hint=text("Use one of {names}", names=names),
            )
        raise InvalidInput(
            text("{file} is in no format that is known by its first line", file=findings.file),
            hint=text("Say which with --format: {names}", names=names),
        )
    trace = make_trace(FORMATS[found](chain(blank, (first,), rest), findings, per_node))
    if not trace.count:
        raise InvalidInput(text("{file} has no jobs", file=findings.file))
    return trace
