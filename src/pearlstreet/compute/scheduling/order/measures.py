"""Measures that order policies share: size of jobs, and service they had."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.topology_cache import PlannerCache


def waiting_devices(snapshot: Snapshot, cache: PlannerCache) -> I64:
    """Return devices of each waiting job; a part of one, or none, counts as one."""
    each = cache.topology(snapshot).asked(snapshot.requests).devices
    waiting = snapshot.waiting
    return each[waiting.request] * waiting.tasks if waiting.count else np.zeros(0, dtype=np.int64)


def running_devices(snapshot: Snapshot) -> I64:
    """Return devices of each running attempt, at least one."""
    devices = np.bincount(snapshot.running.device_attempt, minlength=snapshot.running.count)
    return np.maximum(devices, 1).astype(np.int64)


def running_service(snapshot: Snapshot) -> I64:
    """Return device time (µs) of each running job so far, earlier attempts included."""
    running = snapshot.running
    ran_us = np.maximum(snapshot.now_us - running.started_us, 0)
    return np.asarray(running.served_device_us + ran_us * running_devices(snapshot), dtype=np.int64)


def waited(snapshot: Snapshot, cache: PlannerCache) -> tuple[I64, I64]:
    """Return how long (µs) each waiting and each running job has waited in all: its age less the time it ran."""
    waiting, running, now = snapshot.waiting, snapshot.running, snapshot.now_us
    waits = now - waiting.submitted_us - waiting.served_device_us // waiting_devices(snapshot, cache)
    runs = running.started_us - running.submitted_us - running.served_device_us // running_devices(snapshot)
    return np.maximum(waits, 0), np.maximum(runs, 0)
