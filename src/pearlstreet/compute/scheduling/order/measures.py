"""Measures that order policies share: size of jobs, and service they had."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.topology_cache import topology_cache_of


def waiting_devices(snapshot: Snapshot) -> I64:
    """Return devices of each waiting job; a part of one, or none, counts as one."""
    each = topology_cache_of(snapshot).asked(snapshot.requests).devices
    waiting = snapshot.waiting
    return each[waiting.request] * waiting.tasks if waiting.count else np.zeros(0, dtype=np.int64)


def running_devices(snapshot: Snapshot) -> I64:
    """Return devices of each running attempt, at least one."""
    found: I64 | None = snapshot.notes.get("running_devices")
    if found is None:
        running = snapshot.running
        devices = np.bincount(running.device_attempt, minlength=running.count)
        found = snapshot.notes["running_devices"] = np.maximum(devices, 1).astype(np.int64)
    return found


def running_service(snapshot: Snapshot) -> I64:
    """Return device time (µs) of each running job so far, earlier attempts included."""
    found: I64 | None = snapshot.notes.get("running_service")
    if found is None:
        running = snapshot.running
        ran_us = np.maximum(snapshot.now_us - running.started_us, 0)
        found = np.asarray(running.served_device_us + ran_us * running_devices(snapshot), dtype=np.int64)
        snapshot.notes["running_service"] = found
    return found


def waited(snapshot: Snapshot) -> tuple[I64, I64]:
    """Return how long (µs) each waiting and each running job has waited in all: its age less the time it ran."""
    waiting, running, now = snapshot.waiting, snapshot.running, snapshot.now_us
    waits = now - waiting.submitted_us - waiting.served_device_us // waiting_devices(snapshot)
    runs = running.started_us - running.submitted_us - running.served_device_us // running_devices(snapshot)
    return np.maximum(waits, 0), np.maximum(runs, 0)
