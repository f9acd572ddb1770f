"""The worker process that answers a what-if question: reads it from a file and writes progress and answer as JSON lines.

It has no access to the store; it gets only pseudonyms, requests and nodes. Its memory and time are limited.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.compute.replay.cases import ONE_POOL, Case, Played
from pearlstreet.compute.replay.clusters import Cluster, from_center, one_pool
from pearlstreet.compute.replay.compare import Compared, compare
from pearlstreet.compute.replay.constraints import Held, Terms
from pearlstreet.compute.replay.policy_args import Asked, parse_policy
from pearlstreet.compute.replay.reading.history import read_json
from pearlstreet.compute.replay.reading.rows import Findings
from pearlstreet.compute.replay.report import Words, figure_rows
from pearlstreet.compute.replay.scenario_overrides import Supposed, suppose, without
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.replay.trace import make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig, config_from_json
from pearlstreet.compute.scheduling.rows import Account, Quota, Reservation
from pearlstreet.compute.whatif.actual import (
    JobRecord,
    actual_of,
    actual_rows,
    differs,
    use_row,
    use_until,
)

MEMORY_BYTES = 4 << 30
CPU_S = 900
NICE = 15
POINTS_MAX = 200
NAME_MAX = 28
LANGUAGES = ("en", "zh-CN")


def main(path: str) -> int:
    """Answer the question in the file at `path`; return the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    os.nice(NICE)
    question = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        _write({"result": answer(question)})
    except PearlError as error:
        _write({"problem": error.message.to_json()})
    return 0


class WorkerQuestion(TypedDict):
    """Input of the worker process: a question with the jobs, nodes and constraints of the center."""

    jobs: list[JobRecord]
    nodes: list[dict[str, object]]
    extra: list[dict[str, object]]
    extra_name: str
    less: str
    policies: list[str]
    since_s: float
    asked_s: float
    center_cards: int
    terms: dict[str, list[dict[str, object]]]
    supposed: dict[str, list[str]]
    names: dict[str, list[str]]
    config: dict[str, object]
    rules: str


def answer(question: WorkerQuestion) -> dict[str, object]:
    """Replay all cases and return their figures."""
    lines = [json.dumps(job) for job in question["jobs"]]
    findings = Findings("history", skip_bad=True)
    trace = make_trace(read_json(lines, findings, 8))
    cases = _cases(question, trace.origin_s if trace.count else question["since_s"])
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

    comparison, played = compare("history", trace, cases, tell)
    until_s = question["asked_s"] - trace.origin_s
    actual = actual_of(
        question["jobs"], _cards_of(question["jobs"], played), cards=question["center_cards"], span_s=until_s
    )
    shown = {
        language: [_figures(case, until_s, Words(language)) for case in comparison.cases]
        for language in LANGUAGES
    }
    return {
        "actual": actual.to_json()
        | {
            "figures": {
                language: actual_rows(actual, [name for name, _ in columns[0]], Words(language))
                for language, columns in shown.items()
            }
        },
        "differs": differs(comparison.cases),
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


def _figures(case: Compared, until_s: float, t: Words) -> list[list[str]]:
    """Return name and value of each figure of a case, including the utilisation that is compared with the actual one."""
    rows = [*figure_rows(case, t), use_row(use_until(case.curves, until_s), t)]
    return [list(row) for row in rows]


def _cards_of(jobs: list[JobRecord], played: Sequence[Played]) -> dict[str, float]:
    """Return the cards held by each job: those requested, or for a fraction of a card those held in the replay."""
    held = {
        job: float(cards_bp) / FULL_BP
        for outcome in (played[0].outcomes if played else ())
        for job, cards_bp in zip(outcome.trace.ids, outcome.cards_bp, strict=True)
    }
    return {job["job"]: job["count"] * job["tasks"] or held.get(job["job"], 0.0) for job in jobs}


def _cases(question: WorkerQuestion, origin_s: float) -> list[Case]:
    """Return a case for each policy on each cluster, without and with the other changes."""
    now = one_pool(from_center(question["nodes"]).nodes, "now")
    config: PlannerConfig = config_from_json(question["config"])
    settings = ReplaySettings(restart_s=config.restart_s, restart_gang_s=config.restart_gang_s)
    clusters: list[tuple[str, Cluster]] = [("", now)]
    if question["extra"] or question["less"]:
        clusters.append(_other_machines(now, question))
    supposed = Supposed(**{name: tuple(lines) for name, lines in question["supposed"].items()})
    names: dict[str, list[str]] = question["names"]

    def naming(org: str, project: str) -> tuple[str, str]:
        found_org, found_project = names[f"{org}/{project}".rstrip("/")]
        return found_org, found_project

    found = []
    for suffix, cluster in clusters:
        policies = [Asked(question["rules"], config, settings)]
        policies += [parse_policy(policy, config, settings) for policy in question["policies"]]
        terms = _terms(question["terms"], origin_s)
        for asked in policies:
            name = f"{asked.name}{suffix}"
            found.append(Case(name, cluster, asked.config, asked.settings, ONE_POOL, terms))
        for asked in policies if supposed else ():
            other, changed = suppose(supposed, terms, asked.config, cluster.nodes, origin_s, naming)
            name = f"{asked.name}{suffix} · {shortened(supposed.words)}"
            found.append(Case(name, cluster, changed, asked.settings, ONE_POOL, other))
    return found


def _other_machines(now: Cluster, question: WorkerQuestion) -> tuple[str, Cluster]:
    nodes, name = now.nodes, ""
    if question["less"]:
        nodes, name = without(nodes, question["less"]), f" − {shortened(question['less'])}"
    if question["extra"]:
        nodes, name = (*nodes, *from_center(question["extra"]).nodes), f"{name} + {question['extra_name']}"
    return name, one_pool(nodes, "other")


def _terms(told: dict[str, list[dict[str, Any]]], origin_s: float) -> Terms:
    """Return the center's constraints, with times relative to the origin of the trace."""
    origin_us = round(origin_s * US_PER_S)
    held = []
    for row in told["held"]:
        start_us, end_us, known_us = (row[name] - origin_us for name in ("start_us", "end_us", "known_us"))
        window = Reservation(
            row["id"], start_us, end_us, row["node"], row["device"], row["org"], row["project"]
        )
        held.append(Held(window, known_us))
    return Terms(
        quotas=tuple(Quota(**row) for row in told["quotas"]),
        held=tuple(held),
        accounts=tuple(Account(**row) for row in told["accounts"]),
    )


def shortened(words: str) -> str:
    """Return the words, cut to `NAME_MAX` characters."""
    return words if len(words) <= NAME_MAX else words[: NAME_MAX - 1] + "…"


def _thin(values: list[float]) -> list[float]:
    """Return at most about `POINTS_MAX` values: every n-th and the last."""
    step = max(1, -(-len(values) // POINTS_MAX))
    kept = values[::step]
    return kept if not values or (len(values) - 1) % step == 0 else [*kept, values[-1]]


def _write(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
