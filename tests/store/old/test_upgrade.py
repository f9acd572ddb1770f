"""A filled database of an older program becomes this program's with everything in it, and the center goes on with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import ORG
from tests.store.old import load as old
from tests.store.old.fill import PASSWORD, SECRET

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.app import wiring
from pearlstreet.app.settings import Settings
from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import ConfigurationError, Unavailable
from pearlstreet.base.rng import SeededRng
from pearlstreet.base.text import Text
from pearlstreet.compute.engines.simulated import Habits, SimulatedEngine, nodes_from
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.jobs.loops import job_loops
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.runtime import DataFolders, Runtime
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.compute.jobs.views import JobFilter, get_job, list_jobs
from pearlstreet.ledger.funds import read_balance
from pearlstreet.ledger.invoices.service import list_invoices
from pearlstreet.ledger.loops import ledger_loops
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.statement import read_statement
from pearlstreet.ledger.topups import TopUpState, approve_top_up, list_top_ups
from pearlstreet.store import audit, migrations
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import Sealer, SealingKey
from pearlstreet.store.tables import metadata, state_events
from pearlstreet.tenancy import members, sessions
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import get_org
from pearlstreet.tenancy.secrets import reveal_for_job
from pearlstreet.tenancy.tables import projects
from pearlstreet.tenancy.tables import users as user_rows
from pearlstreet.workload.spec.parse import parse_json

STEP_S = 60
"""Time between two rounds of all loops; shorter steps only take longer."""


def _on_both(versions: Sequence[str]) -> pytest.MarkDecorator:
    """Each version on both databases; `make test` takes the oldest on SQLite and the newest on both, `make upgrades` all."""
    newest = old.VERSIONS[-1]
    cases = [
        pytest.param(
            kind,
            version,
            marks=()
            if version == newest or (version, kind) == (old.VERSIONS[0], "sqlite")
            else pytest.mark.slow,
            id=f"{kind}-{version}",
        )
        for version in versions
        for kind in ("sqlite", "postgresql")
    ]
    return pytest.mark.parametrize(("database", "version"), cases, indirect=["database"])


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/pearl.db" if sqlite else request.getfixturevalue("postgres_database")
    made = Database(url)
    yield made
    made.close()


def opened(database: Database) -> Store:
    """A store with the key and at the time of the one who filled it."""
    rng = SeededRng(23)
    newest_us = database.read(
        lambda connection: connection.scalar(sa.select(sa.func.max(state_events.c.at_us)))
    )
    sealer = Sealer((SealingKey(bytes(32)),), rng)
    return Store(database, clock=VirtualClock(newest_us + 60_000_000), rng=rng, sealer=sealer)


@_on_both(old.VERSIONS)
def test_everything_is_there_after_the_upgrade(database: Database, version: str) -> None:
    count = old.load(database, version)
    assert count > 400
    assert migrations.outdated(database) == version
    assert migrations.migrate(database)
    assert list(migrations.drift(database, metadata)) == []
    store = opened(database)
    _nothing_is_lost(store, version)
    report = store.read(prove)
    assert report.is_right, f"{report.row}: {report.problem}"
    assert report.checked["ledger_spans"] > 10
    assert store.read(audit.verify).problem is None
    org = get_org(store, SYSTEM, ORG)
    assert {job.state for job in list_jobs(store, SYSTEM, JobFilter(org=ORG))} >= {
        JobState.SUCCEEDED, JobState.FAILED, JobState.RUNNING, JobState.QUEUED,
    }  # fmt: skip
    assert [invoice.month for invoice in list_invoices(store, SYSTEM, org.id)] == ["2023-11"]
    lines = store.read(lambda tx: read_statement(tx, org.id))
    assert lines[0].balance == store.read(lambda tx: read_balance(tx, org.id)).balance
    assert sessions.sign_in(store, "wei", PASSWORD, peer="::1").user.display_name == "Wei"
    project = store.read(lambda tx: tx.scalar(sa.select(projects.c.id).where(projects.c.org_id == org.id)))
    found = store.read(lambda tx: reveal_for_job(tx, org.id, project, ["TOKEN"]))
    assert found == {"TOKEN": SECRET}


def _nothing_is_lost(store: Store, version: str) -> None:
    """Every row that was there is there, in every column that both versions have."""
    tables = sa.MetaData()
    store.read(lambda tx: tables.reflect(tx.connection))
    before: dict[str, list[dict[str, object]]] = {}
    for name, row in old.rows(version):
        before.setdefault(name, []).append(row)
    for name, rows in before.items():
        table = tables.tables[name]
        plain = [column for column in table.columns if not isinstance(column.type, sa.JSON | sa.Boolean)]
        both = [column for column in plain if column.name in rows[0]]
        after = {tuple(row) for row in store.read(lambda tx, both=both: tx.execute(sa.select(*both)).all())}
        missing = {tuple(row[column.name] for column in both) for row in rows} - after
        assert not missing, (name, sorted(missing, key=repr)[:2])


@_on_both([old.VERSIONS[0], old.VERSIONS[-1]])
def test_the_center_goes_on_with_it(database: Database, version: str, tmp_path: Path) -> None:
    """What waited runs, what ran is found lost (its machines are others now) and runs again, new work comes."""
    old.load(database, version)
    migrations.migrate(database)
    store = opened(database)
    engine = SimulatedEngine(nodes_from("2x8xH100-80G"), clock=store.clock, rng=store.rng, habits=Habits())
    folders = DataFolders(tmp_path / "data")
    folders.create()
    runtime = Runtime(engines={engine.name: engine}, folders=folders)
    store.write(ensure_default_prices)
    take_inventory(store, runtime.engines)
    store.write(lambda tx: recover(tx, runtime))
    (waiting,) = list_top_ups(store, SYSTEM, get_org(store, SYSTEM, ORG).id, state=TopUpState.PENDING)
    approve_top_up(store, replace(SYSTEM, user_id="usr_second"), waiting.id)
    spec = {
        "command": ["true"],
        "time_limit": "10m",
        "simulate": "60s",
        "per_task": {"cpus": 1, "memory_gib": 1},
    }
    new = submit_job(store, SYSTEM, runtime, ORG, parse_json(spec)).id
    loops = (*job_loops(runtime), *ledger_loops())
    assert isinstance(store.clock, VirtualClock)
    for _ in range(1000):
        for loop in loops:
            loop.step(store)
        store.clock.advance(STEP_S)
        if all(job.state in ENDED for job in list_jobs(store, SYSTEM, JobFilter(org=ORG))):
            break
    assert get_job(store, SYSTEM, new).state is JobState.SUCCEEDED
    left = [job for job in list_jobs(store, SYSTEM, JobFilter(org=ORG)) if job.state not in ENDED]
    assert left == []
    report = store.read(prove)
    assert report.is_right, f"{report.row}: {report.problem}"
    assert members.list_members(store, SYSTEM, ORG)


def test_requests_without_an_organisation_go_where_they_went_before(database: Database) -> None:
    """To the only open organisation of their sender; with none or several they were refused, and still are."""
    old.load(database, "0006")

    def fill(connection: sa.Connection) -> None:
        for number, (slug, state) in enumerate((("one", "active"), ("two", "suspended"), ("shut", "closed"))):
            connection.exec_driver_sql(
                "INSERT INTO orgs (id, slug, name, state, settings, created_us)"
                f" VALUES ('org_{slug}', '{slug}', '', '{state}', '{{}}', {number})"
            )
        for name, of in (
            ("a", "one"),
            ("b", "two"),
            ("c", "shut"),
            ("d", "one two"),
            ("e", "one shut"),
            ("f", ""),
        ):
            connection.exec_driver_sql(
                "INSERT INTO users (id, name, display_name, state, created_us)"
                f" VALUES ('usr_{name}', '{name}', '', 'active', 0)"
            )
            for number, org in enumerate(of.split()):
                connection.exec_driver_sql(
                    "INSERT INTO memberships (user_id, org_id, role, created_us)"
                    f" VALUES ('usr_{name}', 'org_{org}', 'member', {number})"
                )

    database.write(fill)
    migrations.migrate(database)
    rows = opened(database).read(lambda tx: tx.rows(sa.select(user_rows).where(user_rows.c.created_us == 0)))
    found = {row["name"]: (row["default_org_id"], row["origin_org_id"]) for row in rows}
    assert found == {
        "a": ("org_one", "org_one"),
        "b": ("org_two", "org_two"),
        "c": (None, "org_shut"),
        "d": (None, "org_one"),
        "e": ("org_one", "org_one"),
        "f": (None, None),
    }


def test_a_server_copies_an_older_database_before_it_upgrades_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    settings = Settings(data=data)
    first = Database(settings.database_url)
    old.load(first, "0001")
    first.write(lambda connection: connection.exec_driver_sql("DELETE FROM meta"))
    first.close()
    told: list[Text] = []
    for _ in range(2):
        store = Store(Database(settings.database_url))
        wiring.upgrade(settings, store, told.append)
        assert migrations.current(store.database) == migrations.head()
        store.close()
    (copy,) = (data / "backups").iterdir()
    assert [str(copy) in str(line) for line in told] == [True]
    kept = Database(f"sqlite:///{copy}")
    assert migrations.current(kept) == "0001"
    kept.close()
    assert copy.stat().st_mode & 0o077 == 0


def test_a_server_copies_an_older_postgresql_database_too(tmp_path: Path, postgres_database: str) -> None:
    settings = Settings(data=tmp_path, database=postgres_database)
    store = Store(Database(postgres_database))
    old.load(store.database, "0001")
    wiring.upgrade(settings, store, lambda _: None)
    assert migrations.current(store.database) == migrations.head()
    store.close()
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.suffix == ".pgdump"
    assert copy.read_bytes().startswith(b"PGDMP")


def test_without_a_copy_nothing_is_upgraded_unless_that_was_chosen(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    store = Store(Database(settings.database_url))
    old.load(store.database, "0001")
    (tmp_path / "backups").write_text("a file is in the way of the folder")
    with pytest.raises(Unavailable, match="backup cannot be written"):
        wiring.upgrade(settings, store, lambda _: None)
    assert migrations.current(store.database) == "0001"
    wiring.upgrade(replace(settings, copy_before_upgrade=False), store, lambda _: None)
    assert migrations.current(store.database) == migrations.head()
    store.close()


def test_a_newer_programs_database_is_neither_copied_nor_touched(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    store = Store(Database(settings.database_url))
    migrations.migrate(store.database)
    newer = "UPDATE alembic_version SET version_num = '9999'"
    store.database.write(lambda connection: connection.exec_driver_sql(newer))
    with pytest.raises(ConfigurationError, match=r"newer version.*9999"):
        wiring.upgrade(settings, store, lambda _: None)
    assert not (tmp_path / "backups").exists()
    store.close()
