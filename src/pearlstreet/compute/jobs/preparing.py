"""Prepares jobs before they are placed: requests the environments, images and sources that they need, and shares them.

A build (`builds`) makes them: it runs as an attempt of an engine in the tenant's sandbox, never in this process. An environment
or image is identified by a digest and shared within the organisation; a source is fetched for each job unless it names a full commit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.compute.jobs.build_requests import builders, engines_near, request_build
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.storage.prepared_limit import READY, prepared_folder
from pearlstreet.compute.jobs.tables import preparations
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.store.core import Row, Tx
from pearlstreet.store.transitions import record_transition
from pearlstreet.workload.environments.images import image_spec
from pearlstreet.workload.environments.spec import environment_of
from pearlstreet.workload.spec.model import JobSpec

WANTED, BUILDING, FAILED = "wanted", "building", "failed"
USED_US = 86_400 * US_PER_S
"""Interval at which the use of a preparation is recorded: once a day."""
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class NeededPreparations:
    """Preparation ids of a job by kind, and those of them that are not ready yet."""

    ids: Mapping[str, str]
    open_ids: Sequence[str]


def want_preparations(
    tx: Tx, runtime: Runtime, org_id: str, project_id: str, spec: JobSpec, ask: ResourceRequest
) -> NeededPreparations:
    """Request the preparations that a job of a project needs, and share those that exist already."""
    ids: dict[str, str] = {}
    open_ids: list[str] = []
    if not builders(runtime.engines):
        return NeededPreparations(ids, open_ids)
    environment = environment_of(spec.environment)
    if environment is not None:
        wanted = _Wanted(org_id, project_id, "environment", environment.digest(), environment.to_json())
        ids["environment"] = _want(tx, runtime, wanted, ask, open_ids)
    elif spec.environment is not None and spec.environment.image is not None:
        day = to_rfc3339(tx.now_us)[:10]
        image = image_spec(spec.environment.image, spec.environment.pull_secret, project_id, day)
        wanted = _Wanted(org_id, project_id, "image", image.digest(), image.to_json())
        ids["image"] = _want(tx, runtime, wanted, ask, open_ids)
    if spec.git is not None:
        place = {"url": spec.git.url, "ref": spec.git.ref, "path": spec.git.path}
        fixed = "" if _COMMIT.match(spec.git.ref) else tx.new_id("src")
        digest = sha256(f"{spec.git.url}\n{spec.git.ref}\n{spec.git.path}\n{fixed}".encode()).hexdigest()
        wanted = _Wanted(org_id, project_id, "source", digest, place)
        ids["source"] = _want(tx, runtime, wanted, ask, open_ids)
    return NeededPreparations(ids, open_ids)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A preparation that a job needs."""

    org_id: str
    project_id: str
    kind: str
    digest: str
    spec: Row


def _want(tx: Tx, runtime: Runtime, wanted: _Wanted, ask: ResourceRequest, open_ids: list[str]) -> str:
    same = (preparations.c.kind == wanted.kind) & (preparations.c.digest == wanted.digest)
    row = tx.first(sa.select(preparations).where(preparations.c.org_id == wanted.org_id, same))
    fresh = {"state": WANTED, "attempt_id": None, "at_us": tx.now_us, "project_id": wanted.project_id}
    if row is None:
        preparation_id = tx.new_id("prep")
        made: Row = {
            "id": preparation_id,
            "org_id": wanted.org_id,
            "kind": wanted.kind,
            "digest": wanted.digest,
            "spec": dict(wanted.spec),
            **fresh,
        }
        tx.execute(sa.insert(preparations).values(**made))
        record_transition(tx, preparation_id, None, WANTED, "want")
        request_build(tx, runtime, made, engines_near(tx, runtime, ask))
    else:
        preparation_id = row["id"]
        if row["state"] == READY and prepared_folder(runtime, row).is_dir():
            if row["at_us"] < tx.now_us - USED_US:
                used = sa.update(preparations).where(preparations.c.id == preparation_id)
                tx.execute(used.values(at_us=tx.now_us))
            return str(preparation_id)
        if row["state"] in (READY, FAILED):
            tx.execute(sa.update(preparations).where(preparations.c.id == preparation_id).values(**fresh))
            record_transition(tx, preparation_id, row["state"], WANTED, "again")
            request_build(tx, runtime, {**row, **fresh}, engines_near(tx, runtime, ask))
    open_ids.append(preparation_id)
    return str(preparation_id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A ready preparation: its folder, and the text that its build kept."""

    folder: Path
    result: str | None


def ready_preparations(tx: Tx, runtime: Runtime, ids: Mapping[str, str]) -> dict[str, Prepared]:
    """Return a job's ready preparations by kind."""
    rows = tx.rows(sa.select(preparations).where(preparations.c.id.in_(list(ids.values()))))
    return {
        row["kind"]: Prepared(prepared_folder(runtime, row), row["result"])
        for row in rows
        if row["state"] == READY
    }
