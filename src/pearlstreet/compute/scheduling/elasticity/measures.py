"""Measures that elasticity policies share: widths of attempts, and the cost of a resize."""

from __future__ import annotations

import numpy as np

from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import F64, I64, Bools, Snapshot
from pearlstreet.compute.scheduling.order.measures import running_devices
from pearlstreet.compute.scheduling.preemption.rank import restart_us

_US = 1_000_000


def running_tasks(snapshot: Snapshot) -> I64:
    """Return tasks of each running attempt."""
    running = snapshot.running
    return np.bincount(running.task_attempt, minlength=running.count).astype(np.int64)


def asked_tasks(snapshot: Snapshot) -> I64:
    """Return the tasks that each attempt's job asked to start with; its present number where that is not known."""
    asked = snapshot.running.asked_tasks
    return np.where(asked > 0, asked, running_tasks(snapshot))


def resizable(snapshot: Snapshot, since_s: float) -> Bools:
    """Return elastic attempts that ran so long since they started, or were last resized."""
    running = snapshot.running
    ran_us = snapshot.now_us - running.started_us
    able = (running.max_tasks > 0) & (running.request >= 0) & ~running.ending
    return np.asarray(able & (ran_us >= round(since_s * _US)))


def resize_cost(snapshot: Snapshot, config: PlannerConfig) -> F64:
    """Return device time that the restart of each attempt takes."""
    return np.asarray(running_devices(snapshot) * restart_us(snapshot, config), dtype=np.float64)


def left_us(snapshot: Snapshot) -> I64:
    """Return how long each attempt may go on: as predicted; else as long again as it ran, its limit at most."""
    running, now = snapshot.running, snapshot.now_us
    ran = np.maximum(now - running.started_us, 0)
    limit = np.where(running.expected_end_us > 0, np.maximum(running.expected_end_us - now, 0), ran)
    told = running.predicted_end_us > now
    return np.where(told, running.predicted_end_us - now, np.minimum(ran, limit)).astype(np.int64)
