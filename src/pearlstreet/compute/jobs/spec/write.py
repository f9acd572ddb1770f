"""Writes a job specification as JSON, its digest, and the published JSON Schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pearlstreet.compute.jobs.spec.model import JobSpec
from pearlstreet.compute.jobs.spec.table import JOB

SCHEMA_ID = "https://pearlstreet.invalid/schema/job.json"
"""A name, not a place: the center serves the schema itself."""


def to_json(spec: JobSpec) -> dict[str, Any]:
    """Only what differs from the defaults; `parse_stored` reads it back equal."""
    made: dict[str, Any] = JOB.dump(spec)
    return made


def spec_digest(spec: JobSpec) -> str:
    """SHA-256 (hex) of the canonical form: equal for specifications that mean the same."""
    canonical = json.dumps(to_json(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a specification; titles and descriptions in English and, as x-…-zh, Chinese."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Job",
        "x-title-zh": "作业",
        **JOB.schema(),
    }
