"""Engines that can run a job at all: what its specification needs, and whose capabilities cover it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.jobs.build_requests import NO_ENGINE, builders, engines_with_folders
from pearlstreet.compute.jobs.resource_request import refuse_impossible
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.workload.spec.model import JobSpec


@dataclass(frozen=True, slots=True)
class EngineNeed:
    """Something that a job needs and not every engine has."""

    field: str
    """Field of the specification that asks for it."""
    engines: frozenset[str]
    """Engines that have it."""
    missing: Text
    """Message if no engine has it."""
    hint: Text


def engine_needs(runtime: Runtime, spec: JobSpec) -> Sequence[EngineNeed]:
    """Return what a job needs of its engine. Container images are also subject to `images.image_problems`."""
    can = {name: engine.capabilities() for name, engine in runtime.engines.items()}
    needs = []
    if spec.service is not None:
        able = frozenset(name for name, capabilities in can.items() if capabilities.services)
        hint = text("Leave out service; the operators can add an engine that runs them")
        needs.append(EngineNeed("service", able, text("No engine of this center runs services"), hint))
    if spec.environment is not None and spec.environment.image:
        able = frozenset(name for name, capabilities in can.items() if capabilities.images)
        message = text("No engine of this center runs container images")
        hint = text('Name Python packages instead: environment: {{python: "3.11", packages: [...]}}')
        needs.append(EngineNeed("environment.image", able, message, hint))
    if spec.environment is not None or spec.git is not None:
        field = "environment" if spec.environment is not None else "git"
        message = text("No engine of this center sees the folder in which environments and sources are kept")
        hint = text("Leave out environment and git; the operators can give an engine a shared folder")
        able = frozenset(engines_with_folders(runtime))
        if not builders(runtime.engines):
            able = frozenset(name for name in able if not can[name].runs_code)
            message = NO_ENGINE
            hint = text("Leave out environment and git; the operators can add an engine that builds them")
        needs.append(EngineNeed(field, able, message, hint))
    return needs


def engines_for(runtime: Runtime, spec: JobSpec) -> tuple[str, ...]:
    """Return the engines that alone can run a job, by what it needs of them; empty: all."""
    able = set(runtime.engines)
    for need in engine_needs(runtime, spec):
        able &= need.engines
    return () if able == set(runtime.engines) else tuple(sorted(able))


def need_problems(runtime: Runtime, spec: JobSpec) -> list[Problem]:
    """Return why no engine can run a job: one of its needs that none covers, or needs that none covers together."""
    needs = engine_needs(runtime, spec)
    alone = [need for need in needs if not need.engines]
    if alone or len(needs) < 2:
        return [Problem(need.field, need.missing, hint=need.hint) for need in alone]
    if frozenset.intersection(*(need.engines for need in needs)):
        return []
    fields = ", ".join(dict.fromkeys(need.field for need in needs))
    by_need = "; ".join(f"{need.field}: {', '.join(sorted(need.engines))}" for need in needs)
    message = text("No engine of this center covers {fields} together", fields=fields)
    hint = text("Leave one of them out. Engines by field: {engines}", engines=by_need)
    return [Problem(needs[0].field, message, hint=hint)]


def refuse_never_placed(runtime: Runtime, snapshot: Snapshot, spec: JobSpec, ask: ResourceRequest) -> None:
    """Raise InvalidInput for a request that its engines could not run even if they were empty, and say why these alone count."""
    try:
        refuse_impossible(snapshot, ask)
    except InvalidInput as error:
        if not ask.engines:
            raise
        refuse_impossible(snapshot, replace(ask, engines=()))
        everywhere = set(runtime.engines)
        fields = dict.fromkeys(
            need.field for need in engine_needs(runtime, spec) if need.engines != everywhere
        )
        message = text(
            "Only engines {engines} can run a job with {fields}, and they could never run this one",
            engines=", ".join(ask.engines),
            fields=", ".join(fields),
        )
        hint = text(
            "Ask for what these engines have, or leave out {fields}: other engines have what the job asks for",
            fields=", ".join(fields),
        )
        raise InvalidInput(message, hint=hint, problems=error.problems) from None
