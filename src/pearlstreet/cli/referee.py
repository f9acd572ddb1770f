"""`pearl referee`: the production planner behind the line protocols of outside judges. Needs no server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TextIO

import typer

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.desk import Desk
from pearlstreet.compute.scheduling.rows import DeviceRow, NodeRow, Request

_MILLI_BP = 10
"""A thousandth of a device in basis points."""
_DEVICE_MIB = 10_000
"""The protocol knows no device memory: it follows compute, and with so much of it without any rounding."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    referee = typer.Typer(
        help="Be judged: decide what a referee's protocol asks, on standard input and output"
    )
    referee.command()(openb)
    app.add_typer(referee, name="referee")


def openb(
    placement: Annotated[str, typer.Option(help="Placement policy")] = "expected-fill",
) -> None:
    """Place pods one at a time: JSON lines in, one answer a line out, never a pod refused that has a node."""
    for answer in placed(sys.stdin, PlannerConfig(placement=placement)):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def placed(lines: TextIO | Iterable[str], config: PlannerConfig) -> Iterator[str]:
    """The answer to each pod after the first line, which holds nodes and history."""
    rows = _objects(lines)
    head = next(rows, None)
    if head is None:
        return
    shapes = _Shapes(*head)
    nodes = [shapes.node(row) for row in _list(head, "nodes")]
    history: dict[Request, int] = {}
    for row in _list(head, "history"):
        request = shapes.request(row, head[0])
        history[request] = history.get(request, 0) + _whole(row, "count", head[0])
    desk = Desk(nodes, config, workload=history)
    known: dict[tuple[Any, ...], Request] = {}
    for line, pod in rows:
        key = tuple(pod.get(name) for name in _FIELDS)
        request = known.get(key) or known.setdefault(key, shapes.request(pod, line))
        seat = desk.place(request)
        node, devices = (None, ()) if seat is None else (seat.node, seat.devices)
        yield json.dumps({"node": node, "gpus": devices})


_FIELDS = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")


class _Shapes:
    """Nodes and requests in the planner's terms. Models get names of our own, since a pattern may match more."""

    def __init__(self, line: int, head: Mapping[str, Any]) -> None:
        self._line = line
        names = sorted({str(row.get("model") or "") for row in _list((line, head), "nodes")})
        self._codes = {name: f"model{i}" for i, name in enumerate(names)}

    def node(self, row: Mapping[str, Any]) -> NodeRow:
        count, model = _whole(row, "gpu", self._line), self._codes[str(row.get("model") or "")]
        return NodeRow(
            name=str(row.get("name")),
            cpu_milli=_whole(row, "cpu_milli", self._line),
            memory_mib=_whole(row, "memory_mib", self._line),
            devices=tuple(DeviceRow(i, model, _DEVICE_MIB) for i in range(count)),
        )

    def request(self, row: Mapping[str, Any], line: int) -> Request:
        count = _whole(row, "num_gpu", line)
        milli = _whole(row, "gpu_milli", line) if count else 0
        if milli > 1000 or (count > 1 and milli < 1000):
            raise InvalidInput(
                text(
                    "Line {line}: {count} GPUs of {milli} thousandths each cannot be",
                    line=line,
                    count=count,
                    milli=milli,
                ),
                hint=text("Ask for part of one GPU, or for whole ones"),
            )
        shared = count == 1 and milli < 1000
        wanted = [name for name in str(row.get("gpu_spec") or "").split("|") if name] if count else []
        return Request(
            accelerators=tuple(self._codes.get(name, "none") for name in wanted),
            count=0 if shared else count,
            share=ShareRequest(0, milli * _MILLI_BP) if shared else None,
            cpu_milli=_whole(row, "cpu_milli", line),
            memory_mib=_whole(row, "memory_mib", line),
        )


def _objects(lines: TextIO | Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number and the object it holds."""
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidInput(
                text("Line {line} is not JSON: {error}", line=number, error=str(error))
            ) from None
        if not isinstance(row, dict):
            raise InvalidInput(text("Line {line} is not a JSON object", line=number))
        yield number, row


def _list(head: tuple[int, Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    line, row = head
    found = row.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidInput(text("Line {line}: {field} is a list of objects", line=line, field=name))
    return found


def _whole(row: Mapping[str, Any], name: str, line: int) -> int:
    value = row.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 40:
        raise InvalidInput(
            text(
                "Line {line}: {field} is a whole number from 0 on, not {value}",
                line=line,
                field=name,
                value=str(value),
            )
        )
    return value
