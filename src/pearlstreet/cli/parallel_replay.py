"""Parts of a replay in several processes: they know nothing of each other, so the answer is the same."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from functools import partial
from typing import Any

from pearlstreet.compute.replay.cases import Part, PartProgress, PlayParts, one_by_one, play_part
from pearlstreet.compute.replay.outcome import Outcome

WORTH_IT = 4000
"""Jobs: fewer are played sooner than a process has started."""
POLL_S = 0.2
_over: Any = None
"""Numbers of ended jobs by part, in memory that the worker processes share with the parent."""


def chosen(jobs: int, processes: int) -> PlayParts:
    """Return the player for a number of jobs; `processes` 0: one process per core, or a single one for a short trace."""
    if processes == 0:
        processes = len(os.sched_getaffinity(0)) if jobs >= WORTH_IT else 1
    return one_by_one if processes < 2 else partial(side_by_side, processes)


def side_by_side(processes: int, parts: Sequence[Part], progress: PartProgress) -> Sequence[Outcome]:
    """Plays parts in several processes, the longest first."""
    if len(parts) < 2:
        return one_by_one(parts, progress)
    spawn = multiprocessing.get_context("spawn")
    over = spawn.Array("q", len(parts), lock=False)
    longest = sorted(range(len(parts)), key=lambda number: -parts[number].trace.count)
    with ProcessPoolExecutor(
        min(processes, len(parts)), mp_context=spawn, initializer=_share, initargs=(over,)
    ) as pool:
        asked = {number: pool.submit(_play, number, parts[number]) for number in longest}
        waiting: set[Future[Outcome]] = set(asked.values())
        while waiting:
            _, waiting = wait(waiting, timeout=POLL_S)
            for number in range(len(parts)):
                progress(number, over[number])
        return [asked[number].result() for number in range(len(parts))]


def _share(over: object) -> None:
    global _over
    _over = over


def _play(number: int, part: Part) -> Outcome:
    return play_part(part, partial(_tell, number))


def _tell(number: int, over: int) -> None:
    _over[number] = over
