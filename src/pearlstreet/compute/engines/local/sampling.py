"""What the devices of running attempts do, sampled whenever the machine is probed. Drivers are asked by the server alone:
a supervisor has neither their libraries nor a way to live through their hanging.
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
    """One live attempt that was given devices."""

    ranks: Mapping[int, tuple[int, ...]]
    """Rank → indices of its devices."""
    next_us: int = 0
    pace_us: int = int(SAMPLE_S * US_PER_S)
    samples: int = 0


class DeviceSampler:
    """Writes samples of devices beside those that supervisors write of processes."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._guard = threading.Lock()
        self._watched: dict[str, _Watched] = {}

    def watch(self, plan: Mapping[str, Any]) -> None:
        """An attempt that lives; nothing happens for one without devices."""
        ranks = {task["rank"]: tuple(task["devices"]) for task in plan["tasks"] if task.get("devices")}
        if ranks:
            with self._guard:
                self._watched.setdefault(plan["attempt_id"], _Watched(ranks))

    def leave(self, attempt_id: str) -> None:
        """It is over."""
        with self._guard:
            self._watched.pop(attempt_id, None)

    def take(self, node: NodeReport, now_us: int) -> None:
        """Note what the machine was just seen to do. Never raises: a missing sample harms nobody."""
        by_index = {device.index: device for device in node.devices}
        with self._guard:
            due = [(name, one) for name, one in self._watched.items() if one.next_us <= now_us]
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
    """What its driver tells; some tell less."""
    told = {
        "utilization_percent": device.utilization_percent,
        "memory_gib": device.memory_used_gib,
        "power_w": device.power_w,
        "temperature_c": device.temperature_c,
    }
    for name, value in told.items():
        if value is not None:
            yield name, round(value, 4)
