"""`pearl referee`: the production planner behind the line protocols of outside judges. Needs no server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, TextIO

import typer

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import plural, text
from pearlstreet.compute.pool.slices import ShareRequest
from pearlstreet.compute.replay.online import Arrival, OnlinePool
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.online_placer import OnlinePlacer
from pearlstreet.compute.scheduling.registry import check_config
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
    referee.command()(jobs)
    app.add_typer(referee, name="referee")


def openb(
    placement: Annotated[str, typer.Option(help="Placement policy")] = "expected-fill",
) -> None:
    """Place pods one at a time: JSON lines in, one answer a line out, never a pod refused that has a node."""
    for answer in placed(sys.stdin, PlannerConfig(placement=placement)):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def jobs(
    order: Annotated[str, typer.Option(help="Order policy")] = "las",
    preemption: Annotated[str, typer.Option(help="Preemption policy")] = "rank",
    backfill: Annotated[str, typer.Option(help="Backfill policy")] = "greedy",
    placement: Annotated[str, typer.Option(help="Placement policy")] = "pack",
    min_run: Annotated[float, typer.Option(min=0, help="Seconds before an attempt may be stopped")] = 0.0,
    wait_max: Annotated[
        float, typer.Option(min=0, help="Seconds of waiting that put a job first; 0: off")
    ] = 0.0,
) -> None:
    """Queue gang jobs: JSON lines of arrivals and ends in, stops and starts out. Virtual clusters are kept apart.

    Without durations nothing is known of a job but its size. Where the judge tells durations, the order is `shortest`.
    """
    config = PlannerConfig(
        order=order, preemption=preemption, backfill=backfill, placement=placement, min_run_s=min_run,
        wait_max_s=wait_max, grace_s=0.0, preempt_depth=64,
    )  # fmt: skip
    check_config(config)
    for answer in queued(sys.stdin, config):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def queued(lines: TextIO | Iterable[str], config: PlannerConfig) -> Iterator[str]:
    """The answer to each event after the first line, which holds the virtual clusters and what a restart costs."""
    rows = _objects(lines)
    head = next(rows, None)
    if head is None:
        return
    line, row = head
    costs = row.get("restart_cost") or (config.restart_s, config.restart_gang_s)
    config = replace(config, restart_s=float(costs[0]), restart_gang_s=float(costs[-1]))
    sizes = {str(name): (int(size[0]), int(size[1])) for name, size in dict(row.get("cluster") or {}).items()}
    pools: dict[str, OnlinePool] = {}
    home: dict[str, str] = {}
    wake: dict[str, int] = {}
    for line, event in rows:
        now_us = round(float(event.get("t", 0)) * US_PER_S)
        touched = {name for name, at_us in wake.items() if 0 < at_us <= now_us}
        for job_id in event.get("finished") or ():
            if job_id not in home or not pools[home[job_id]].runs(job_id):
                raise InvalidInput(text("Line {line}: {name} does not run", line=line, name=str(job_id)))
            pools[home[job_id]].finish(job_id, now_us)
            touched.add(home.pop(job_id))
        for item in _list((line, event), "arrived"):
            vc, job_id = str(item.get("vc") or ""), str(item.get("job"))
            if vc not in sizes:
                raise InvalidInput(
                    text("Line {line}: there is no virtual cluster {name}", line=line, name=vc)
                )
            gpus, told = _whole(item, "gpus", line), item.get("duration")
            count, per_node = sizes[vc]
            if not 0 < gpus <= count * per_node:
                raise InvalidInput(
                    plural(
                        "Line {line}: {name} has no {count} GPU",
                        "Line {line}: {name} has no {count} GPUs",
                        line=line,
                        name=vc,
                        count=gpus,
                    )
                )
            if vc not in pools:
                own = config if told is None else replace(config, order="shortest")
                pools[vc] = OnlinePool([f"{vc}/{i}" for i in range(count)], per_node, own, (vc,))
            duration_s = None if told is None else float(told)
            pools[vc].arrive(Arrival(job_id, vc, gpus, str(item.get("user") or ""), duration_s), now_us)
            home[job_id] = vc
            touched.add(vc)
        stop: list[str] = []
        start: dict[str, dict[str, int]] = {}
        for vc in sorted(touched):
            answer = pools[vc].decide(now_us)
            stop += answer.stop
            start.update(answer.start)
            wake[vc] = answer.wake_us
        due = min((at_us for at_us in wake.values() if at_us), default=0)
        yield json.dumps({"preempt": stop, "start": start, "wake": due / US_PER_S if due else None})


def placed(lines: TextIO | Iterable[str], config: PlannerConfig) -> Iterator[str]:
    """Yield the answer to each pod after the first line, which holds nodes and history."""
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
    placer = OnlinePlacer(nodes, config, workload=history)
    known: dict[tuple[object, ...], Request] = {}
    for line, pod in rows:
        key = tuple(pod.get(name) for name in _FIELDS)
        request = known.get(key) or known.setdefault(key, shapes.request(pod, line))
        seat = placer.place(request)
        node, devices = (None, ()) if seat is None else (seat.node, seat.devices)
        yield json.dumps({"node": node, "gpus": devices})


_FIELDS = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")


class _Shapes:
    """Nodes and requests in the planner's terms. Models get names of our own, since a pattern may match more."""

    def __init__(self, line: int, head: Mapping[str, object]) -> None:
        self._line = line
        names = sorted({str(row.get("model") or "") for row in _list((line, head), "nodes")})
        self._codes = {name: f"model{i}" for i, name in enumerate(names)}

    def node(self, row: Mapping[str, object]) -> NodeRow:
        count, model = _whole(row, "gpu", self._line), self._codes[str(row.get("model") or "")]
        return NodeRow(
            name=str(row.get("name")),
            cpu_milli=_whole(row, "cpu_milli", self._line),
            memory_mib=_whole(row, "memory_mib", self._line),
            devices=tuple(DeviceRow(i, model, _DEVICE_MIB) for i in range(count)),
        )

    def request(self, row: Mapping[str, object], line: int) -> Request:
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
    """Yield the number of each line and the object in it."""
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


def _whole(row: Mapping[str, object], name: str, line: int) -> int:
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
