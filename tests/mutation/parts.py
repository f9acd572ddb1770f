"""Which files are mutated together, and which tests see them: the core whole, of every other package a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("src/pearlstreet")


@dataclass(frozen=True)
class Part:
    """Files that are mutated, and tests that are asked about them."""

    name: str
    files: tuple[str, ...]
    """Files and folders under src/pearlstreet; of folders every file beneath."""
    tests: tuple[str, ...]
    """Files and folders under tests."""
    whole: bool = False
    """Every mutant counts; otherwise a sample."""

    def paths(self) -> list[Path]:
        """Every source file, relative to the root of the repository."""
        found: list[Path] = []
        for name in self.files:
            path = ROOT / SOURCE / name
            found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
        return [path.relative_to(ROOT) for path in dict.fromkeys(found) if "migrations" not in path.parts]


PARTS: Sequence[Part] = (
    Part(
        "credentials",
        ("tenancy/credentials.py", "tenancy/keys.py", "tenancy/authentication.py", "tenancy/sessions.py"),
        (
            "unit/tenancy",
            "store/tenancy",
            "property/test_altered_credentials.py",
            "property/test_keys.py",
            "api/test_access.py",
        ),
        whole=True,
    ),
    Part(
        "authorisation",
        ("tenancy/model.py", "api/routing.py", "console/routing.py"),
        (
            "unit/tenancy",
            "unit/api",
            "store/tenancy",
            "api",
            "console",
            "isolation",
        ),
        whole=True,
    ),
    Part(
        "leases",
        ("store/leases.py", "store/loop.py"),
        ("store/test_leases.py", "store/test_loop.py", "store/test_loop_pauses.py", "api/test_incidents.py"),
        whole=True,
    ),
    Part("posting", ("ledger/posting.py", "ledger/spans.py"), ("unit/ledger", "store/ledger"), whole=True),
    Part("base", ("base",), ("unit/base",)),
    Part("store", ("store",), ("unit/store", "store/test_*.py")),
    Part("tenancy", ("tenancy",), ("unit/tenancy", "store/tenancy")),
    Part("ledger", ("ledger",), ("unit/ledger", "store/ledger")),
    Part("hardware", ("compute/hardware",), ("unit/hardware",)),
    Part("estimate", ("compute/estimate",), ("unit/estimate",)),
    Part("pool", ("compute/pool",), ("unit/pool", "unit/scheduling")),
    Part("scheduling", ("compute/scheduling",), ("unit/scheduling", "property/test_laws.py")),
    Part("replay", ("compute/replay",), ("unit/replay",)),
    Part("engines", ("compute/engines",), ("unit/engines_local", "unit/engines_simulated", "conformance")),
    Part(
        "hub",
        ("hub", "hubapi"),
        ("unit/hub", "api/test_hub.py", "api/test_jobs_only.py", "api/test_hub_bad_input.py"),
    ),
    Part("execution", ("compute/execution",), ("unit/execution", "store/execution", "store/jobs")),
    Part("queueing", ("compute/queueing",), ("unit/queueing", "store/jobs")),
    Part("jobs", ("compute/jobs",), ("unit/jobs", "unit/workload", "store/jobs")),
    Part("whatif", ("compute/whatif",), ("api/test_what_ifs.py",)),
    Part("objects", ("objects",), ("unit/objects",)),
    Part("storage", ("storage",), ("store/jobs",)),
    Part("services", ("services",), ("api", "console")),
    Part("hub", ("hub",), ("unit/hub", "api/test_hub.py")),
    Part("hubapi", ("hubapi",), ("api/test_hub.py",)),
    Part("workload", ("workload",), ("unit/workload", "property/test_job_spec.py")),
    Part("charts", ("charts",), ("unit", "console")),
    Part("energy", ("energy",), ("unit/energy", "store/energy")),
    Part("quotes", ("quotes",), ("unit/quotes", "store/quotes")),
    Part("offboarding", ("offboarding",), ("store/offboarding",)),
    Part("client", ("client",), ("unit/client",)),
    Part("http", ("http",), ("unit/http",)),
    Part("api", ("api",), ("unit/api", "api")),
    Part("console", ("console",), ("console",)),
    Part("cli", ("cli",), ("unit/cli", "cli/test_help.py", "cli/test_usage_errors.py")),
    Part("app", ("app",), ("unit/app", "api")),
)
"""The first are the core: a wrong line there opens a tenant's things or changes money."""
