"""Synthetic log lines and metrics of a simulated attempt, computed from its timeline at any time. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.protocol import EndReason, LogChunk, MetricSample, TaskOrder
from pearlstreet.compute.engines.simulated.attempt_timeline import (
    CPU_LOAD,
    MEMORY_SHARE,
    SHORTEST_S,
    AttemptTimeline,
    Kept,
)
from pearlstreet.compute.engines.simulated.keyed_random import KeyedRandom

SAMPLES_AT_MOST = 2000
"""Limit on the samples of one answer; the caller continues from the last sample."""
_STEP_LINE = "step {step:8d}/{steps:8d}  loss {loss:8.4f}  {rate:9.1f} samples/s  device {use:5.1f} %\n"
_STEP_BYTES = len(_STEP_LINE.format(step=0, steps=0, loss=0.0, rate=0.0, use=0.0))
"""Length of a step line; all have the same, so that any offset can be computed without the lines before it."""
_STEPS_A_LINE = 10
DEVICE_MEMORY_SHARE = 0.8
_FAILURES = (
    "RuntimeError: accelerator out of memory: tried to allocate 2.50 GiB",
    "ValueError: loss is not finite",
    "ConnectionError: peer of the process group closed the connection",
    "FileNotFoundError: no such file: shard-00017.parquet",
)


@dataclass(frozen=True, slots=True)
class DeviceTraits:
    """Properties of a device on which its readings depend."""

    memory_gib: float
    full_power_w: float | None


def read_log(
    kept: Kept,
    timeline: AttemptTimeline,
    rank: int,
    random: KeyedRandom,
    now_us: int,
    *,
    offset: int,
    limit: int,
) -> LogChunk:
    """Return bytes of a task's log at `now_us`; offsets count every byte ever written."""
    written = _Log(kept, timeline, rank, random, now_us)
    ended = now_us >= timeline.ends_us
    dropped = 0
    offset = max(0, offset)
    if written.total > kept.log_bytes:
        head, tail = kept.log_bytes // 2, written.total - kept.log_bytes // 2
        if offset < head:
            limit = min(limit, head - offset)
        elif offset < tail:
            dropped, offset = tail - offset, tail
    data = written.read(offset, max(0, limit))
    following = min(offset, written.total) + len(data)
    return LogChunk(data, following, dropped, ended=ended and following >= written.total)


def read_metrics(
    kept: Kept,
    timeline: AttemptTimeline,
    traits: Mapping[tuple[str, int], DeviceTraits],
    random: KeyedRandom,
    now_us: int,
    *,
    since_us: int,
) -> list[MetricSample]:
    """Return the samples after `since_us` up to `now_us`, oldest first, about SAMPLES_AT_MOST at most."""
    if timeline.starts_us >= timeline.ends_us or timeline.runs_ranks is not None:
        return []
    every_us = max(US_PER_S, min(10 * US_PER_S, timeline.planned_us // 20))
    until_us = min(now_us, timeline.ends_us)
    at_us = timeline.starts_us + max(0, (since_us - timeline.starts_us) // every_us + 1) * every_us
    if since_us < timeline.starts_us:
        at_us = timeline.starts_us
    samples: list[MetricSample] = []
    while at_us <= until_us and len(samples) < SAMPLES_AT_MOST:
        samples.extend(_use(kept, task, traits, random, at_us) for task in kept.tasks)
        samples.append(MetricSample(at_us, 0, "user", _progress(kept, timeline, random, at_us)))
        at_us += every_us
    return samples


def device_use_percent(random: KeyedRandom, attempt_id: str, rank: int, moment: object = "") -> float:
    """Return an attempt's device utilization in percent: a constant level with a little noise over time."""
    level = random.between(70.0, 96.0, attempt_id, "level")
    return round(level + random.between(-3.0, 3.0, attempt_id, rank, moment), 1)


class _Log:
    """One task's log at a moment: a head, step lines of equal length, and a last line once the task has ended."""

    def __init__(
        self, kept: Kept, timeline: AttemptTimeline, rank: int, random: KeyedRandom, now_us: int
    ) -> None:
        self._kept, self._timeline, self._rank, self._random = kept, timeline, rank, random
        runs = timeline.starts_us < timeline.ends_us and (
            timeline.runs_ranks is None or rank < timeline.runs_ranks
        )
        started = runs and now_us >= timeline.starts_us
        self._every_us = max(US_PER_S // 10, min(30 * US_PER_S, timeline.planned_us // 200))
        self._head = self._head_bytes() if started else b""
        until_us = min(now_us, timeline.ends_us)
        self._lines = (until_us - timeline.starts_us) // self._every_us if started else 0
        self._last = self._last_bytes() if started and now_us >= timeline.ends_us else b""
        self._steps_end = len(self._head) + self._lines * _STEP_BYTES
        self.total = self._steps_end + len(self._last)

    def read(self, offset: int, limit: int) -> bytes:
        end = min(offset + limit, self.total)
        if offset >= end:
            return b""
        base = len(self._head)
        first = max(0, (offset - base) // _STEP_BYTES)
        last = min(self._lines, max(0, -(-(end - base) // _STEP_BYTES)))
        parts = [self._head] if offset < base else []
        start = 0 if parts else base + min(first, self._lines) * _STEP_BYTES
        parts.extend(self._step_bytes(line) for line in range(first, last))
        if end > self._steps_end:
            parts.append(self._last)
        return b"".join(parts)[offset - start : end - start]

    def _head_bytes(self) -> bytes:
        task = self._kept.tasks[self._rank]
        devices = ", ".join(str(grant.index) for grant in task.devices) or "none"
        return (
            f"simulated attempt {self._kept.attempt_id}: no code runs here\n"
            f"rank {self._rank} of {len(self._kept.tasks)} on {task.node}, devices: {devices}\n"
        ).encode()

    def _step_bytes(self, line: int) -> bytes:
        at_us = self._timeline.starts_us + (line + 1) * self._every_us
        values = _progress(self._kept, self._timeline, self._random, at_us)
        total = max(1, self._timeline.planned_us // self._every_us) * _STEPS_A_LINE
        return _STEP_LINE.format(
            step=(line + 1) * _STEPS_A_LINE,
            steps=total,
            loss=values["loss"],
            rate=values["throughput"],
            use=device_use_percent(self._random, self._kept.attempt_id, self._rank, at_us),
        ).encode()

    def _last_bytes(self) -> bytes:
        timeline = self._timeline
        if timeline.signal == signal.SIGKILL or timeline.reason is EndReason.ENGINE_LOST:
            return b""
        if timeline.signal or (timeline.exit_code and self._rank != timeline.failing_rank):
            return b"SIGTERM received: checkpoint written, stopping\n"
        if timeline.exit_code:
            which = int(self._random.uniform(self._kept.attempt_id, "failure") * len(_FAILURES))
            return f"{_FAILURES[which]}\n".encode()
        seconds = (timeline.ends_us - timeline.starts_us) / US_PER_S
        return f"finished after {seconds:.1f} s\n".encode()


def _progress(kept: Kept, timeline: AttemptTimeline, random: KeyedRandom, at_us: int) -> dict[str, float]:
    done = (at_us - timeline.starts_us) / max(timeline.planned_us, int(SHORTEST_S * US_PER_S))
    noise = random.between(-0.02, 0.02, kept.attempt_id, "noise", at_us)
    devices = sum(max(1, len(task.devices)) for task in kept.tasks)
    rate = random.between(40.0, 400.0, kept.attempt_id, "rate") * min(devices, 2000)
    return {
        "step": float(round(done * 1000)),
        "loss": round(1.6 + 9.0 / (1 + 25 * max(0.0, done)) + noise, 4),
        "throughput": round(min(rate * (1 + noise), 9_999_999.9), 1),
    }


def _use(
    kept: Kept,
    task: TaskOrder,
    traits: Mapping[tuple[str, int], DeviceTraits],
    random: KeyedRandom,
    at_us: int,
) -> MetricSample:
    values = {
        "cpu_percent": round(task.cpus * CPU_LOAD * 100, 1),
        "memory_gib": round(task.memory_gib * MEMORY_SHARE, 3),
    }
    values.update(_device_values(kept, task, traits, random, at_us))
    return MetricSample(at_us, task.rank, "use", values)


def _device_values(
    kept: Kept,
    task: TaskOrder,
    traits: Mapping[tuple[str, int], DeviceTraits],
    random: KeyedRandom,
    at_us: int,
) -> Iterator[tuple[str, float]]:
    use = device_use_percent(random, kept.attempt_id, task.rank, at_us)
    for grant in task.devices:
        trait = traits.get((task.node, grant.index))
        if trait is None:
            continue
        memory_gib = grant.memory_gib if grant.memory_gib is not None else trait.memory_gib
        yield f"device_{grant.index}_utilization_percent", use
        yield f"device_{grant.index}_memory_gib", round(memory_gib * DEVICE_MEMORY_SHARE, 2)
        if trait.full_power_w is not None:
            yield f"device_{grant.index}_power_w", round(trait.full_power_w * (0.15 + 0.8 * use / 100), 1)
