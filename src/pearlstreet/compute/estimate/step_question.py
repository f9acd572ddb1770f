"""One step of a run whose layout is given: seconds, without any learnt factor."""

from __future__ import annotations

from pearlstreet.compute.estimate.constants import Constants
from pearlstreet.compute.estimate.layouts import enumerate_layouts
from pearlstreet.compute.estimate.model import Training
from pearlstreet.compute.estimate.step import step_time


def step_seconds(run: Training, known: Constants) -> float:
    """Return the seconds of a step of the whole batch, in the fastest layout that agrees with the given part."""
    grid = enumerate_layouts(run)
    seconds = step_time(grid, known.physics).total / grid.step_tokens * (run.batch * run.sequence)
    return float(seconds.min())
