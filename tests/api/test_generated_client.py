"""A client that openapi-python-client generates from the published document: nothing skipped, and every noun called with it."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.api.app import PREFIX, all_routes
from pearlstreet.api.reference import api_page
from tests.api.bridge import Bridge
from tests.api.world import JOB, World
from tests.engines_present import need
from tests.months import present_month

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / ".generator" / "bin" / "openapi-python-client"
PACKAGE = "pearlstreet_client"
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "audit": ("list_audit_log", "owner", {}),
    "backups": ("create_backup", "system", {}),
    "center": ("get_center", "owner", {}),
    "credit": ("get_balance", "owner", {"org": "acme"}),
    "energy": ("list_energy_presets", "owner", {}),
    "files": ("list_uploads", "owner", {"org": "acme"}),
    "hub": ("list_repositories", "owner", {}),
    "invoices": ("get_invoice", "owner", {"org": "acme", "month": present_month(), "draft": True}),
    "jobs": ("list_jobs", "owner", {"org": "acme"}),
    "keys": ("list_keys", "owner", {}),
    "members": ("list_members", "owner", {"org": "acme"}),
    "nodes": ("list_nodes", "owner", {}),
    "notices": ("list_notice_kinds", "owner", {}),
    "organisations": ("get_org", "owner", {"org": "acme"}),
    "prices": ("get_current_prices", "owner", {}),
    "quotas": ("list_quotas", "owner", {"org": "acme"}),
    "quotes": ("list_quote_scenarios", "owner", {}),
    "scheduling": ("get_scheduling_policy", "owner", {}),
    "session": ("get_me", "owner", {}),
    "storage": ("list_storage", "owner", {"org": "acme"}),
    "users": ("list_users", "security", {}),
    "webhooks": ("list_org_webhooks", "owner", {"org": "acme"}),
}
"""Noun → (operation, who calls it, parameters)."""


class Generated:
    """The generated package, and clients of it."""

    def __init__(self, world: World, warnings: str) -> None:
        self.world = world
        self.warnings = warnings

    def module(self, name: str) -> Any:
        """A module of it."""
        return importlib.import_module(f"{PACKAGE}.{name}")

    def client(self, role: str) -> Any:
        """A client with the key of a role."""
        return self.module("client").AuthenticatedClient(
            "http://center", token=self.world.keys[role], httpx_args={"transport": Bridge(self.world)}
        )


@pytest.fixture(scope="module")
def generated(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    """Generate it once; its messages are kept."""
    need(GENERATOR.is_file(), "openapi-python-client", target="generator")
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(world.get("/openapi.json", None).content)
    options = ["generate", "--path", "openapi.json", "--output-path", "client"]
    path = f"{GENERATOR.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [GENERATOR, *options],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "10000"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    sys.path.insert(0, str(folder / "client"))
    yield Generated(world, done.stdout + done.stderr)
    sys.path.remove(str(folder / "client"))


def test_no_operation_is_skipped_and_every_warning_is_explained(generated: Generated) -> None:
    assert "will not be generated" not in generated.warnings
    assert "Unable to" not in generated.warnings
    warned = re.findall(r"WARNING parsing (\S+ \S+)", generated.warnings)
    explained = re.findall(r"^\| `(\S+ \S+)`: content type", api_page(), re.MULTILINE)
    assert sorted(warned) == sorted(explained), generated.warnings
    package = Path(generated.module("api").__file__ or "").parent
    modules = {
        path.stem.replace("_", "").lower() for path in package.glob("*/*.py") if path.stem != "__init__"
    }
    missing = [route.operation for route in all_routes() if route.operation.lower() not in modules]
    assert not missing


@pytest.mark.parametrize("noun", sorted(CALLS))
def test_one_call_of_every_noun_answers(generated: Generated, noun: str) -> None:
    operation, role, parameters = CALLS[noun]
    call = generated.module(f"api.{noun}.{operation}")
    answer = call.sync_detailed(client=generated.client(role), **parameters)
    assert answer.status_code in (200, 201), answer.content
    assert answer.parsed is not None
    assert answer.parsed.to_dict() == json.loads(answer.content)


def test_the_calls_cover_every_noun(world: World) -> None:
    methods = list(world.get("/openapi.json", None).json()["paths"].values())
    assert {operation["tags"][0] for item in methods for operation in item.values()} == set(CALLS)


def test_a_job_and_a_what_if_are_created_with_typed_bodies(generated: Generated) -> None:
    models, client = generated.module("models"), generated.client("owner")
    job = generated.module("api.jobs.submit_job").sync(
        client=client, body=models.JobSpec.from_dict(JOB), org="acme"
    )
    assert job.name == JOB["name"]
    what_if = generated.module("api.scheduling.create_what_if").sync(
        client=client, body=models.WhatIfIn(policies=["fifo"]), org="acme"
    )
    assert what_if.question.policies == ["fifo"]
    problem = generated.module("api.jobs.get_job").sync(client=client, job="job_none")
    assert problem.code == "not_found"
    assert PREFIX in generated.module("api.jobs.get_job")._get_kwargs("x")["url"]
