"""Builds the order with which an engine starts an attempt: files, variables, secrets, environment, limits."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.errors import check
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    Binding,
    DeviceGrant,
    Limits,
    Mount,
    Stage,
    TaskOrder,
)
from pearlstreet.compute.execution.limits import ran_s
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import images
from pearlstreet.compute.jobs.preparing import ready_preparations
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.service_order import service_order
from pearlstreet.compute.jobs.tables import jobs, uploads
from pearlstreet.compute.queueing.model import ResourceRequest
from pearlstreet.objects.model import Blob, BlobReference, BlobStore
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.secrets import reveal_for_job
from pearlstreet.workload.environments.images import parse_image
from pearlstreet.workload.environments.spec import run_variables
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_stored

INPUTS = "inputs"
INPUTS_VALID_S = 4 * 3600
"""Validity of the addresses of inputs in a bucket: longer than an engine may take to start an attempt, the transfer included."""
_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"))


def build_order(tx: Tx, runtime: Runtime, attempt: Row) -> AttemptOrder:
    """Return the order for an attempt. Raises a PearlError if a file or secret it needs is gone."""
    job, whole = _rows(tx, attempt["owner_id"])
    spec, ask = parse_stored(whole["spec"]), ResourceRequest.from_json(whole["ask"])
    stages, inputs = _stages(tx, runtime, attempt["org_id"], spec)
    secrets = reveal_for_job(tx, attempt["org_id"], attempt["project_id"], sorted(set(spec.secrets.values())))
    variables = dict(spec.variables) | _array_variables(job, spec)
    variables |= {variable: secrets[name] for variable, name in spec.secrets.items()}
    mounts: list[Mount] = []
    image = spec.environment.image if spec.environment else None
    image_folder = ""
    for kind, prepared in ready_preparations(tx, runtime, whole["preparations"] or {}).items():
        if kind == "environment":
            variables = dict(run_variables(prepared.folder)) | variables
            mounts.append(Mount(str(prepared.folder), str(prepared.folder)))
        elif kind == "image":
            variables = dict(images.variables_of(prepared.result)) | variables
            image_folder = images.root_of(prepared.folder)
        else:
            stages.insert(0, Stage(str(prepared.folder), ".", "folder"))
    return AttemptOrder(
        attempt_id=attempt["id"],
        job_id=attempt["owner_id"],
        tenant_id=attempt["org_id"],
        command=spec.command,
        tasks=tuple(_task(task) for task in attempt["placement"]["tasks"]),
        variables=variables,
        path_variables=inputs,
        secret_names=frozenset(spec.secrets),
        stages=tuple(stages),
        mounts=tuple(mounts),
        bindings=tuple(
            Binding(inputs[f"PEARL_INPUT_{name}"], given.mount)
            for name, given in spec.inputs.items()
            if given.mount is not None
        ),
        image=None if image is None else str(parse_image(image)),
        image_folder=image_folder,
        network=spec.network,
        limits=Limits(
            time_s=attempt["time_limit_s"],
            pids=spec.limits.pids,
            disk_gib=spec.limits.disk_gib,
            log_bytes=int(spec.limits.log_mib * (1 << 20)),
            grace_s=spec.limits.grace_s,
        ),
        checkpoint=attempt["owner_id"],
        service=service_order(spec),
        simulate_s=_simulated_s(tx, attempt, ask),
        simulate_saves=bool(ask.max_tasks),
        minimum_isolation=runtime.settings.minimum_isolation,
    )


def _simulated_s(tx: Tx, attempt: Row, ask: ResourceRequest) -> float | None:
    """Return how long a simulated engine runs the attempt.

    Work that earlier attempts of an elastic job saved is subtracted, and the rest scales inversely with the number of tasks.
    """
    if ask.simulate_s is None or not ask.max_tasks:
        return ask.simulate_s
    left_s, tasks = ask.simulate_s, len(attempt["placement"]["tasks"])
    resized = attempts.c.stop_reason == StopReason.RESIZED.value
    saved = sa.or_(resized, attempts.c.saved_us.is_not(None))
    for row in tx.rows(sa.select(attempts).where(attempts.c.owner_id == attempt["owner_id"], saved)):
        if row["id"] != attempt["id"]:
            left_s -= ran_s(row) * len(row["placement"]["tasks"]) / ask.tasks
    return max(left_s, 0.0) * ask.tasks / tasks


def _rows(tx: Tx, job_id: str) -> tuple[Row, Row]:
    """Return the job's row and the row that holds its specification (its own, or that of its array)."""
    job = tx.execute(_JOB, {"job": job_id}).mappings().first()
    check(job is not None, "an attempt has a job", job=job_id)
    assert job is not None
    if job["array_id"] is None:
        return job, job
    whole = tx.execute(_JOB, {"job": job["array_id"]}).mappings().first()
    assert whole is not None
    return job, whole


def _array_variables(job: Row, spec: JobSpec) -> dict[str, str]:
    if spec.array is None:
        return {}
    index = job["array_index"]
    found = {
        "PEARL_ARRAY_ID": job["array_id"],
        "PEARL_ARRAY_INDEX": str(index),
        "PEARL_ARRAY_SIZE": str(spec.array.count),
    }
    if spec.array.values:
        found["PEARL_ARRAY_VALUE"] = spec.array.values[index]
    return found


def _task(task: Row) -> TaskOrder:
    return TaskOrder(
        rank=task["rank"],
        node=task["node"],
        cpus=task["cpu_milli"] / 1000,
        memory_gib=task["memory_mib"] / 1024,
        devices=tuple(
            DeviceGrant(device["index"])
            if device["whole"]
            else DeviceGrant(device["index"], device["memory_mib"] / 1024, device["compute_bp"] / 100)
            for device in task["devices"]
        ),
    )


def _stages(tx: Tx, runtime: Runtime, org_id: str, spec: JobSpec) -> tuple[list[Stage], dict[str, str]]:
    blobs, stages, variables = runtime.blobs, [], {}
    for item in spec.files:
        source, name = _upload(tx, blobs, org_id, item.upload or "")
        target = (
            f"{item.path.rstrip('/')}/{name}"
            if item.kind == "file" and item.path.endswith("/")
            else item.path
        )
        stages.append(Stage(source, target, item.kind))
    for name, given in spec.inputs.items():
        if given.dataset is not None or given.model is not None:
            variables[f"PEARL_INPUT_{name}"] = f"{INPUTS}/{name}"
            continue
        source, file_name = _upload(tx, blobs, org_id, given.upload or "")
        target = f"{INPUTS}/{name}" + (f"/{file_name}" if given.kind == "file" else "")
        stages.append(Stage(source, target, given.kind))
        variables[f"PEARL_INPUT_{name}"] = target
    return stages, variables


def _upload(tx: Tx, blobs: BlobStore, org_id: str, upload_id: str) -> tuple[BlobReference, str]:
    row = tx.first(sa.select(uploads).where(uploads.c.id == upload_id, uploads.c.org_id == org_id))
    check(row is not None, "a queued job's upload is kept", upload=upload_id)
    assert row is not None
    return blobs.reference(Blob(row["sha256"], row["size_bytes"]), valid_s=INPUTS_VALID_S), row["name"]
