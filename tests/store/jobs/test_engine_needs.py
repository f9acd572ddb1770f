"""Jobs run only on engines that have what they need: services, container images, the folder of environments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.quoting import quote_job
from pearlstreet.compute.jobs.views import why
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.workload.environments.images import parse_registries
from pearlstreet.workload.spec.parse import parse_json

NODE = {"accelerator": "any", "count": 8, "cpus": 1, "memory_gib": 1}
SERVICE: dict[str, Any] = {"drain": "20s"}


@pytest.fixture
def center(tmp_path: Path) -> Center:
    made = Center(tmp_path, cluster="2x8xH100-80G", others={"west": "1x8xL40S"})
    made.run(1)
    return made


def _give(center: Center, monkeypatch: pytest.MonkeyPatch, engine: str, **fields: Any) -> None:
    """Let an engine report other capabilities from now on."""
    changed = replace(center.runtime.engines[engine].capabilities(), **fields)
    monkeypatch.setattr(center.runtime.engines[engine], "capabilities", lambda: changed)


def _engines(center: Center, job: str) -> set[str]:
    return {str(attempt["engine"]) for attempt in center.attempts(job)}


def test_a_service_is_placed_only_where_services_run(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    _give(center, monkeypatch, "simulated", services=False)
    jobs = [center.submit(per_task=NODE, service=SERVICE) for _ in range(2)]
    plain = center.submit(per_task=NODE | {"accelerator": "H100"})
    center.run(5)
    first, second = sorted(jobs, key=lambda job: center.job(job).state is JobState.QUEUED)
    assert _engines(center, first) == {"west"}
    assert center.job(second).state is JobState.QUEUED, "a node of the other engine is idle"
    assert why(center.store, SYSTEM, center.runtime, second).code == "capacity"
    assert _engines(center, plain) == {"simulated"}


def test_a_service_whose_engines_lack_the_accelerator_is_refused(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    _give(center, monkeypatch, "simulated", services=False)
    body = {"command": ["true"], "time_limit": "10m", "per_task": NODE | {"accelerator": "H100"}}
    for ask in (
        lambda: center.submit(**body, service=SERVICE),
        lambda: quote_job(center.store, SYSTEM, center.runtime, ORG, parse_json(body | {"service": SERVICE})),
    ):
        with pytest.raises(InvalidInput, match="Only engines west can run a job with service") as caught:
            ask()
        assert "leave out service" in str(caught.value.hint)
    with pytest.raises(InvalidInput, match="This center could never run the job"):
        center.submit(per_task=NODE | {"accelerator": "H20"}, service=SERVICE)


def test_a_service_is_refused_where_no_engine_runs_services(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in center.runtime.engines:
        _give(center, monkeypatch, engine, services=False)
    with pytest.raises(InvalidInput) as caught:
        center.submit(service=SERVICE)
    (problem,) = caught.value.problems
    assert problem.field == "service"
    assert "No engine of this center runs services" in str(problem.message)


def test_needs_that_no_engine_covers_together_are_refused(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = parse_registries("registry.example.org")
    settings = replace(center.runtime.settings, image_registries=allowed)
    center = Center(center.folder / "images", settings=settings, others={"west": "1x8xL40S"})
    center.run(1)
    image = {"image": "registry.example.org/library/python:3.12"}
    _give(center, monkeypatch, "simulated", services=False)
    _give(center, monkeypatch, "west", images=False)
    with pytest.raises(InvalidInput) as caught:
        center.submit(service=SERVICE, environment=image)
    (problem,) = caught.value.problems
    assert "service, environment.image, environment together" in str(problem.message)
    assert "service: west; environment.image: simulated" in str(problem.hint)
    job = center.submit(environment=image, per_task=NODE)
    center.run(5)
    assert _engines(center, job) == {"simulated"}


def test_an_environment_is_refused_where_nothing_could_build_it(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in center.runtime.engines:
        _give(center, monkeypatch, engine, runs_code=True, builds=False)
    with pytest.raises(InvalidInput) as caught:
        center.submit(environment={"packages": ["rich==13.9.4"]})
    assert "No engine of this center can build environments" in str(caught.value.problems[0].message)
