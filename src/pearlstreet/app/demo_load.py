"""Load of a demo center: a few simulated tenants that keep submitting jobs."""

from __future__ import annotations

import threading
from typing import Any

import structlog

from pearlstreet.app import demo_data
from pearlstreet.app.example_facts import state_facts
from pearlstreet.app.settings import Settings
from pearlstreet.app.wiring import Assembled
from pearlstreet.base.errors import PearlError
from pearlstreet.base.money import parse_yuan
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.hardware.catalogue.cluster import parse_cluster
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.compute.jobs.views import JobFilter, list_jobs
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.orgs import create_org, create_project, get_org
from pearlstreet.workload.spec.parse import parse_json

TENANTS = (
    ("river-lab", "River Lab", ("vision", "speech")),
    ("north-university", "North University", ("physics", "language", "teaching")),
    ("harbor-works", "Harbor Works", ("inspection",)),
    ("city-hall", "City Hall", ("traffic", "default-ai")),
)
NAMES = ("pretrain", "finetune", "evaluate", "ablation", "sweep", "inference-batch", "tokenize", "distill")
BALANCE, ENOUGH = "9999", "100000"
PAY_EVERY = 50
"""Number of submitted jobs between two checks of the balances."""
TARGET_WAITING = 12
FAILING = 0.08
"""Fraction of jobs whose command fails; some of these are retried."""
PAUSE_S = 2.0
log = structlog.get_logger("demo_load")


def keep_busy(settings: Settings, assembled: Assembled) -> threading.Thread:
    """Start the thread that submits the tenants' jobs; it ends with the process."""
    load = DemoLoad(settings, assembled)
    thread = threading.Thread(target=load.run, name="demo-load", daemon=True)
    thread.start()
    return thread


class DemoLoad:
    """Submits jobs of plausible shapes so that the queue is never empty."""

    def __init__(self, settings: Settings, assembled: Assembled) -> None:
        self._assembled = assembled
        self._store: Store = assembled.center.store
        self._rng = SeededRng(7)
        groups = parse_cluster(settings.simulate)
        self._models = [group.accelerator.id for group in groups if group.accelerator]
        self._cards = sum(group.nodes * group.devices_per_node for group in groups if group.accelerator)
        self._width = max((group.devices_per_node for group in groups), default=0)
        self._pause = threading.Event()
        self._people: dict[str, tuple[Actor, ...]] = {}

    def run(self) -> None:
        """Submit jobs until the process ends."""
        submitted = 0
        while True:
            try:
                self._make_tenants()
                while True:
                    if self._waiting() < TARGET_WAITING:
                        self._submit_one()
                        submitted += 1
                        if submitted % PAY_EVERY == 0:
                            self._pay_all()
                    else:
                        self._pause.wait(PAUSE_S)
            except PearlError as error:
                log.warning("the simulated tenants pause", why=str(error))
                self._pause.wait(5 * PAUSE_S)

    def _make_tenants(self) -> None:
        state_facts(self._store)
        for size, (slug, name, projects) in enumerate(reversed(TENANTS), 1):
            try:
                get_org(self._store, SYSTEM, slug)
            except PearlError:
                org = create_org(self._store, SYSTEM, slug, name)
                for project in projects:
                    create_project(self._store, SYSTEM, slug, project)
                self._pay(org.id)
                model = self._models[0] if self._models else None
                demo_data.seed_demo_tenant(self._store, slug, size=size, model=model)
                if size == len(TENANTS):
                    demo_data.ask_for_credit(self._store, slug)
                    demo_data.drain_one(self._store)
            self._people[slug] = demo_data.members_of(self._store, slug)

    def _pay_all(self) -> None:
        for slug, _, _ in TENANTS:
            self._pay(get_org(self._store, SYSTEM, slug).id)

    def _pay(self, org_id: str) -> None:
        """Top up an organisation until its available balance reaches ENOUGH yuan, so that its jobs can start."""
        while balance(self._store, SYSTEM, org_id).available < parse_yuan(ENOUGH):
            top_up(self._store, SYSTEM, org_id, parse_yuan(BALANCE), memo="simulated")

    def _waiting(self) -> int:
        """Return the number of queued jobs (an array counts once), at most TARGET_WAITING."""
        wanted = JobFilter(None, None, (JobState.QUEUED,), None, None)
        return len(list_jobs(self._store, SYSTEM, wanted, before=None, limit=TARGET_WAITING))

    def _submit_one(self) -> None:
        slug, _, projects = self._pick(TENANTS)
        spec = self._spec(self._pick(projects))
        person = self._pick(self._people[slug] or (SYSTEM,))
        submit_job(self._store, person, self._assembled.runtime, slug, parse_json(spec))
        self._pause.wait(0.05)

    def _spec(self, project: str) -> dict[str, object]:
        draw = self._rng.uniform()
        whole = [size for size in (1, 2, 4, 8, 16) if size <= self._width] or [0]
        count = whole[min(len(whole) - 1, int(draw * draw * len(whole)))]
        tasks = 1 if draw < 0.85 or count < self._width else self._pick((2, 2, 4))
        tasks = max(1, min(tasks, self._cards // max(1, count) // 4 or 1))
        minutes = 2 + 240 * self._rng.uniform() ** 3
        spec: dict[str, Any] = {
            "name": f"{self._pick(NAMES)}-{int(self._rng.uniform() * 1000):03d}",
            "project": project,
            "command": ["python", "train.py"],
            "tasks": tasks,
            "per_task": {"cpus": 4 * max(1, count), "memory_gib": 16 * max(1, count)},
            "time_limit": f"{int(minutes * 1.5) + 1}m",
            "simulate": f"{minutes * 60:.0f}s",
            "priority": self._pick((0, 0, 0, 0, 10, -10)),
            "preemptible": self._rng.uniform() < 0.3,
        }
        if count:
            spec["per_task"] |= {"accelerator": self._pick((*self._models, "any")), "count": count}
        if self._rng.uniform() < FAILING:
            spec["variables"] = {"SIMULATE_EXIT_CODE": "1"}
            spec["retries"] = self._pick((0, 0, 2))
            spec["simulate"] = "60s"
        if self._rng.uniform() < 0.1:
            spec["array"] = {"size": 2 + int(self._rng.uniform() * 12), "max_running": 4}
        return spec

    def _pick(self, choices: Any) -> Any:
        return choices[int(self._rng.uniform() * len(choices))]
