"""Plugins: an example package is built, installed beside the program and used; what is wrong in it is skipped and named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pearlstreet.compute.engines.conformance import laws

EXAMPLE = Path(__file__).parent / "example"
ASK = """
import json
from pearlstreet.base.plugins import problems
from pearlstreet.compute.hardware.access import LocalHost
from pearlstreet.compute.hardware.probes.registry import all_probes
from pearlstreet.compute.scheduling.order.fifo import Fifo
from pearlstreet.compute.scheduling.registry import ORDERS, kinds
from pearlstreet.ledger.rules import KINDS

print(json.dumps({
    "orders": kinds()["order"],
    "fifo_is_ours": isinstance(ORDERS["fifo"], Fifo),
    "rules": sorted(KINDS),
    "devices": [device.model for device in all_probes()[-1].detect(LocalHost()).devices],
    "problems": [str(problem) for problem in problems()],
}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which a Python finds the example package, too."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation",
         "--python", sys.executable, "--target", folder, EXAMPLE],
        check=True,
        timeout=120,
    )  # fmt: skip
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))}


def test_parts_of_a_package_join_the_registries(environment: dict[str, str]) -> None:
    answer = json.loads(_run(environment, "-c", ASK))
    assert "last-come" in answer["orders"]
    assert "card_day" in answer["rules"]
    assert answer["devices"] == ["Abacus 13"]


def test_what_is_wrong_is_skipped_and_named(environment: dict[str, str]) -> None:
    answer = json.loads(_run(environment, "-c", ASK))
    assert answer["fifo_is_ours"], "a plugin replaces nothing"
    assert not {"broken", "of-tomorrow", "bare"} & set(answer["orders"])
    reasons = {
        "broken": "this plugin is broken",
        "of-tomorrow": "version 3",
        "bare": "is no",
        "fifo": "name is taken",
    }
    for name, reason in reasons.items():
        (sentence,) = [one for one in answer["problems"] if f"plugin {name} of pearlstreet.orders" in one]
        assert reason in sentence and "pearlstreet-example-plugin" in sentence
    assert len(answer["problems"]) == len(reasons)


def test_a_replay_runs_under_the_policy_of_a_plugin(environment: dict[str, str], tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"j{number},a,{number},100,1" for number in range(4)]
    trace.write_text("\n".join(["job,vc,submit,duration,gpus", *rows]) + "\n")
    command = ("-m", "pearlstreet.app", "simulate", str(trace), "--cluster", "1x1xH100-80G", "--json")
    waits = {}
    for policy in ("fifo", "last-come"):
        found = json.loads(
            _run(environment, *command, "--policy", f"order={policy}", "--out", str(tmp_path / policy))
        )
        assert found["cases"]
        schedule = (next((tmp_path / policy).rglob("*schedule*.csv"))).read_text().splitlines()[1:]
        waits[policy] = [
            row.split(",")[0] for row in sorted(schedule, key=lambda row: float(row.split(",")[1]))
        ]
    assert waits["fifo"] == ["j0", "j1", "j2", "j3"]
    assert waits["last-come"] == ["j0", "j3", "j2", "j1"]


MAKE = """
import json, sys
from pathlib import Path
from pearlstreet.app.engines import make_engines
from pearlstreet.app.settings import load_settings
from pearlstreet.base.clock import SystemClock
from pearlstreet.base.plugins import problems
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.registry import ENGINES
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database

store = Store(Database("sqlite://"), clock=SystemClock(), rng=SeededRng(1))
engines = make_engines(load_settings(Path(sys.argv[1]), {}, {}), store)
print(json.dumps({
    "kinds": sorted(ENGINES),
    "nodes": {name: [node.name for node in engine.nodes().value] for name, engine in engines.items()},
    "local": str(ENGINES["local"].summary),
    "problems": [str(problem) for problem in problems()],
}))
for engine in engines.values():
    engine.close()
store.close()
"""


def test_a_center_runs_an_engine_of_a_package(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pearl.toml").write_text('[engines.lab]\nkind = "toy"\nnodes = 3\n')
    answer = json.loads(_run(environment, "-c", MAKE, str(tmp_path)))
    assert "toy" in answer["kinds"]
    assert len(answer["nodes"]["lab"]) == 3
    assert all(name.startswith("lab:") for name in answer["nodes"]["lab"])
    assert "this machine" in answer["local"], "a plugin replaces nothing"
    assert any("plugin local of pearlstreet.engines" in problem for problem in answer["problems"])


NOTIFY = """
import json, sys
from pathlib import Path
from pearlstreet.app.settings import load_settings
from pearlstreet.app.wiring import assemble
from pearlstreet.tenancy import users
from pearlstreet.tenancy.bootstrap import SYSTEM, bootstrap
from pearlstreet.tenancy.notices import inbox, preferences
from pearlstreet.tenancy.notices.preferences import Change
from pearlstreet.tenancy.model import Actor

data = Path(sys.argv[1])
assembled = assemble(load_settings(data, {}, {}))
store, channels = assembled.center.store, assembled.center.channels
bootstrap(store)
user = users.create_user(store, SYSTEM, "ada", email="ada@acme.example").user
ada = Actor(label="ada (user)", user_id=user.id, scopes=frozenset({"notices:own"}))
refused = ""
try:
    preferences.set_preferences(store, ada, "me", Change(kinds={"test": ["pigeon"]}), channels.named)
except Exception as error:
    refused = " ".join(str(one.hint) for one in error.problems)
preferences.set_preferences(store, ada, "me", Change(kinds={"test": ["chat"]}), channels.named)
inbox.send_test(store, ada)
for loop in assembled.loops:
    if loop.name in ("route_notices", "send_notices"):
        loop.step(store)
print(json.dumps({
    "offered": channels.offered(is_person=True),
    "refused": refused,
    "notices": [str(notice) for notice in assembled.center.notices],
}))
store.close()
assembled.lock.close()
"""


def test_a_center_notifies_by_a_channel_of_a_package(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pearl.toml").write_text(
        'name = "lab"\nsimulate = "1x1xT4"\n'
        f'[notices.chat]\nkind = "notebook"\nfile = "{tmp_path}/sent"\n[notices.torn]\nkind = "notebook"\n'
    )
    answer = json.loads(_run(environment, "-c", NOTIFY, str(tmp_path)))
    assert answer["offered"] == ["inbox", "email", "chat"], "a channel that fails is not offered"
    assert "chat" in answer["refused"], "the refusal of an unknown channel names those that exist"
    (line,) = [json.loads(line) for line in (tmp_path / "sent").read_text().splitlines()]
    assert line["to"] == "ada@acme.example"
    assert line["title"].startswith("lab: ")
    for said in ("torn of notices is skipped: KeyError", "plugin pigeon of", "plugin email of"):
        assert any(said in notice for notice in answer["notices"]), (said, answer["notices"])


def _run(
    environment: dict[str, str], *arguments: str, folder: Path | None = None, timeout_s: float = 120
) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


def test_the_tests_of_a_package_hold_its_engine_to_every_law(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A package imports the published suite; its own run counts as many laws as there are for engines without programs."""
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    told = _run(
        environment, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests", folder=tmp_path, timeout_s=300
    )
    passed = re.search(r"(\d+) passed", told)
    assert passed is not None, told
    assert int(passed[1]) >= len(laws(programs=False)) and "failed" not in told, told
