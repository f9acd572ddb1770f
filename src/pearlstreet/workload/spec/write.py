"""Writes job specifications as JSON, and gives their digest and the published JSON Schema."""

from __future__ import annotations

import hashlib
import json

from pearlstreet.workload.spec.kinds import JsonSchema
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.table import JOB

SCHEMA_ID = "https://pearlstreet.invalid/schema/job.json"
"""Identifier of the schema, not a URL to fetch; each center serves the schema itself."""


def to_json(spec: JobSpec) -> dict[str, object]:
    """Return the fields that differ from their defaults; `parse_stored` reads them back to an equal specification."""
    made: dict[str, object] = JOB.dump(spec)
    return made


def spec_digest(spec: JobSpec) -> str:
    """Return the SHA-256 (hexadecimal) of the canonical form, equal for equivalent specifications."""
    canonical = json.dumps(to_json(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_schema() -> JsonSchema:
    """Return the JSON Schema (draft 2020-12) of a specification, described in English and, as x-…-zh, Chinese."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Job",
        "x-title-zh": "作业",
        **JOB.schema(),
    }
