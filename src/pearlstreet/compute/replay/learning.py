"""Learning from ended jobs in a replay: predicted run times, and the distribution of device time.

The same predictor as the live center's. Jobs of a trace have no names: their user and request stand for them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.replay.state import State
from pearlstreet.compute.scheduling.predict import Past, Predictor

_SERVICES_MAX = 1000
"""Ended jobs whose device time is kept, the latest."""
_EVERY = 16
"""Ends after which the distribution is made anew."""
_LEAST_US = 60 * US_PER_S
"""Assumed remaining time of a job that has outlived its prediction."""

Band = tuple[int, int, int]


class Learning:
    """Runtime predictor of one replay."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._predictor = Predictor()
        self._services: deque[tuple[int, int]] = deque(maxlen=_SERVICES_MAX)
        self._ended = 0

    def ended(self, row: int, served_device_us: int) -> None:
        """Learn from an ended job of the trace."""
        trace = self._state.trace
        self._predictor.learn(
            [
                Past(
                    org=trace.orgs[int(trace.org[row])],
                    user=trace.users[int(trace.user[row])],
                    name="",
                    request=trace.requests[int(trace.request[row])],
                    tasks=int(trace.tasks[row]),
                    run_s=int(trace.duration_us[row]) / US_PER_S,
                )
            ]
        )
        self._services.append((row, served_device_us))
        self._ended += 1
        if self._ended % _EVERY == 0:
            self._state.learn_services(np.array(self._services, dtype=np.int64))

    def left_us(self, row: int, done_us: int) -> Band:
        """Run time still to come of a job that has done so much: likely, low, high; 0: not known."""
        trace = self._state.trace
        found = self._predictor.predict(
            trace.orgs[int(trace.org[row])],
            trace.users[int(trace.user[row])],
            "",
            trace.requests[int(trace.request[row])],
            int(trace.tasks[row]),
        )
        if found is None:
            return 0, 0, 0
        likely, low, high = (
            max(round(run_s * US_PER_S) - done_us, _LEAST_US if done_us else 1)
            for run_s in (found.likely_s, found.low_s, found.high_s)
        )
        return likely, low, high
