"""Sampling of the devices of running attempts, each time the engine probes the machine.

Only the server queries drivers: a supervisor lacks their libraries, and a driver that hangs would block it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor.usage import METRICS_BYTES, SAMPLE_S, SAMPLES_PER_PACE
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport


@dataclass(slots=True)
class _Watched:
    """One running attempt that has devices."""

    ranks: Mapping[int, tuple[int, ...]]
    """Rank → indices of its devices."""
    next_us: int = 0
    """Time of the next sample."""
    pace_us: int = int(SAMPLE_S * US_PER_S)
    """Time between two samples."""
    samples: int = 0


class DeviceSampler:
    """Writes device samples into a file of each attempt, beside the supervisor's samples of processes."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._guard = threading.Lock()
        self._watched: dict[str, _Watched] = {}

    def watch(self, plan: Mapping[str, Any]) -> None:
        """Sample the devices of a running attempt from now on; no effect for one without devices."""
        ranks = {task["rank"]: tuple(task["devices"]) for task in plan["tasks"] if task.get("devices")}
        if ranks:
            with self._guard:
                self._watched.setdefault(plan["attempt_id"], _Watched(ranks))

    def leave(self, attempt_id: str) -> None:
        """Stop sampling an attempt that has ended."""
        with self._guard:
            self._watched.pop(attempt_id, None)

    def take(self, node: NodeReport, now_us: int) -> None:
        """Write a sample of `node` for each attempt that is due. Never raises: a missing sample does no harm."""
        by_index = {device.index: device for device in node.devices}
        with self._guard:
            due = [(name, watched) for name, watched in self._watched.items() if watched.next_us <= now_us]
            for attempt_id, watched in due:
                self._write(attempt_id, "".join(_lines(watched, by_index, now_us)))
                watched.samples += 1
                if watched.samples % SAMPLES_PER_PACE == 0:
                    watched.pace_us *= 2
                watched.next_us = now_us + watched.pace_us

    def _write(self, attempt_id: str, lines: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            handle = os.open(self._folders.attempt(attempt_id) / files.DEVICE_METRICS, flags, 0o600)
        except OSError:
            return
        try:
            if os.fstat(handle).st_size + len(lines) <= METRICS_BYTES:
                os.write(handle, lines.encode())
        except OSError:
            pass
        finally:
            os.close(handle)


def _lines(watched: _Watched, by_index: Mapping[int, DeviceReport], now_us: int) -> Iterator[str]:
    for rank, indices in watched.ranks.items():
        values = {
            f"device_{index}_{name}": value
            for index in indices
            if index in by_index
            for name, value in _values(by_index[index])
        }
        if values:
            yield json.dumps([now_us, rank, "use", values], separators=(",", ":")) + "\n"


def _values(device: DeviceReport) -> Iterator[tuple[str, float]]:
    """Yield name and value of each figure that the device's driver reports."""
    figures = {
        "utilization_percent": device.utilization_percent,
        "memory_gib": device.memory_used_gib,
        "power_w": device.power_w,
        "temperature_c": device.temperature_c,
    }
    for name, value in figures.items():
        if value is not None:
            yield name, round(value, 4)
