"""Prints a trace of rigid and elastic jobs, made up from a seed, in the history format (JSON lines).

    python benchmarks/elastic_trace.py --jobs 1000 --share 0.4 > trace.jsonl
    pearl simulate trace.jsonl --cluster 16x8xH100-80G --policy elasticity=none --policy elasticity=grow-shrink

Jobs come in days and nights (Poisson, three times as many at noon as at midnight); sizes are those of a mixed center: mostly
1 to 8 cards, some gangs of whole nodes; run times are log-normal, time limits one and a half to four times
as long. An elastic job may halve its gang twice and double it
twice.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from typing import Any

_SIZES = ((1, 1, 40), (2, 1, 15), (4, 1, 15), (8, 1, 16), (8, 2, 8), (8, 4, 4), (8, 8, 2))
"""Cards of a task, tasks, weight."""
_DAY_S = 86_400.0


def rows(jobs: int, *, share: float = 0.4, gap_s: float = 270.0, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Jobs in the history format."""
    dice, at_s = random.Random(seed), 0.0
    weights = [weight for *_, weight in _SIZES]
    for number in range(jobs):
        at_s += dice.expovariate((1 - 0.5 * math.cos(2 * math.pi * at_s / _DAY_S)) / gap_s)
        (cards, tasks, _), ran_s = dice.choices(_SIZES, weights)[0], dice.lognormvariate(math.log(2400), 1.2)
        elastic = cards * tasks >= 4 and dice.random() < share
        if elastic and tasks == 1:
            cards, tasks = cards // 4, 4
        row: dict[str, Any] = {
            "job": f"j{number:05d}", "org": f"team-{dice.randrange(4)}", "submitted": round(at_s, 3),
            "duration_s": round(min(ran_s, 2 * _DAY_S), 3), "tasks": tasks, "count": cards, "cpus": 4 * cards,
            "preemptible": False, "time_limit_s": round(min(ran_s * dice.uniform(1.5, 4), 4 * _DAY_S), 3),
        }  # fmt: skip
        if elastic:
            row |= {"min_tasks": max(tasks // 4, 1), "max_tasks": tasks * 4}
        yield row


def main() -> None:
    """Print the jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.4, help="of the jobs of 4 cards and more, elastic")
    parser.add_argument("--gap", type=float, default=270.0, help="mean seconds between two jobs")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for row in rows(asked.jobs, share=asked.share, gap_s=asked.gap, seed=asked.seed):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
