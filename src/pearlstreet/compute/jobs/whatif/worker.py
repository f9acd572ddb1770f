"""The process that answers a question: reads it from a file, writes progress and the answer as JSON lines.

It knows nothing of the store; what it gets are pseudonyms, requests and nodes. Its memory and time are bounded.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from pearlstreet.base.errors import PearlError
from pearlstreet.compute.replay.asking import parse_policy
from pearlstreet.compute.replay.cases import ONE_POOL, Case
from pearlstreet.compute.replay.clusters import Cluster, from_center, one_pool
from pearlstreet.compute.replay.compare import compare
from pearlstreet.compute.replay.reading.history import read_json
from pearlstreet.compute.replay.reading.rows import Findings
from pearlstreet.compute.replay.report import Words, figure_rows
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.trace import make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig, config_from_json

MEMORY_BYTES = 4 << 30
CPU_S = 900
NICE = 15
POINTS_MAX = 200
LANGUAGES = ("en", "zh-CN")


def main(path: str) -> int:
    """Answer the question in the file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    os.nice(NICE)
    question = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        _write({"result": answer(question)})
    except PearlError as error:
        _write({"problem": error.message.to_json()})
    return 0


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Play every case and put the figures together."""
    lines = [json.dumps(job) for job in question["jobs"]]
    findings = Findings("history", skip_bad=True)
    trace = make_trace(read_json(lines, findings, 8))
    cases = list(_cases(question))
    told = -1
    whole = max(trace.count * len(cases), 1)
    over: dict[str, int] = {}

    def tell(name: str, jobs: int, _: int) -> None:
        nonlocal told
        over[name] = jobs
        now = 100 * sum(over.values()) // whole
        if now > told:
            told = now
            _write({"progress": min(now / 100, 1.0)})

    comparison, _ = compare("history", trace, cases, tell)
    shown = {
        language: [[list(row) for row in figure_rows(case, Words(language))] for case in comparison.cases]
        for language in LANGUAGES
    }
    return {
        "jobs": trace.count,
        "left_out": findings.bad,
        "cases": [
            {
                "name": case.case.name,
                "cards": case.case.cluster.cards,
                "curves": {name: _thin(values) for name, values in case.curves.to_json().items()},
                "measures": case.measures.to_json(),
            }
            for case in comparison.cases
        ],
        "figures": shown,
    }


def _cases(question: dict[str, Any]) -> list[Case]:
    now = one_pool(from_center(question["nodes"]).nodes, "now")
    config: PlannerConfig = config_from_json(question["config"])
    settings = ReplaySettings(restart_s=config.restart_s, restart_gang_s=config.restart_gang_s)
    clusters: list[tuple[str, Cluster]] = [("", now)]
    if question["extra"]:
        more = from_center([*question["nodes"], *question["extra"]])
        clusters.append((f" + {question['extra_name']}", one_pool(more.nodes, "more")))
    found = []
    for suffix, cluster in clusters:
        found.append(Case(f"{question['rules']}{suffix}", cluster, config, settings, ONE_POOL))
        for policy in question["policies"]:
            asked = parse_policy(policy, config, settings)
            found.append(Case(f"{asked.name}{suffix}", cluster, asked.config, asked.settings, ONE_POOL))
    return found


def _thin(values: list[float]) -> list[float]:
    """At most so many points: every n-th, and the last."""
    step = max(1, -(-len(values) // POINTS_MAX))
    kept = values[::step]
    return kept if not values or (len(values) - 1) % step == 0 else [*kept, values[-1]]


def _write(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
