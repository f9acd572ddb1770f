"""Fixtures every suite shares: a store on SQLite, and the same store on PostgreSQL where one can be started."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.rng import SeededRng, SystemRng
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import Sealer, SealingKey
from pearlstreet.store.tables import metadata
from tests import loopback
from tests.engines_present import postgres_url
from tests.reused_postgres import ReusedDatabase, administering

# Examples are not timed: the machine may be busy. `make prop` asks for the thorough profile.
settings.register_profile("usual", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("usual")

# A log line with an error in it is drawn as text: structlog's default draws every variable of every frame, for seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.set_exc_info,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

loopback.install()

KEY = SealingKey(bytes(range(32)))
LONG = ("faults", "cli", "property", "sim", "store")
"""Folders of long tests, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with one at the end; otherwise as they stand."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _on_loopback() -> Iterator[None]:
    """No test reaches another machine."""
    with loopback.stays_here():
        yield


def _load_tables() -> None:
    """Every room's tables must be registered before the schema is made."""
    import pearlstreet.app.tables  # noqa: F401


def make_store(url: str, *, tables: bool = True) -> Store:
    """A store at `url`; `tables`: make them first."""
    _load_tables()
    store = Store(Database(url), clock=SystemClock(), rng=SystemRng(), sealer=Sealer((KEY,), SystemRng()))
    if tables:
        metadata.create_all(store.database.engine)
    return store


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with every table, to be copied: making the tables anew takes far longer."""
    file = tmp_path_factory.mktemp("template") / "pearl.db"
    made = make_store(f"sqlite:///{file}")
    made.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """The name of a PostgreSQL database with every table. Skips when no server can be started."""
    server = postgres_url()
    name = f"t{SystemRng().token_bytes(8).hex()}"
    with administering(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    make_store(f"{server.rsplit('/', 1)[0]}/{name}").close()
    yield name
    with administering(server) as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def reused_database(postgres_template: str) -> Iterator[ReusedDatabase]:
    """A PostgreSQL database with every table, which each test is to leave empty."""
    database = ReusedDatabase(postgres_url(), postgres_template, f"t{SystemRng().token_bytes(8).hex()}")
    database.make()
    yield database
    database.drop()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The same tests on both databases."""
    made: Store = request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgres_store")
    yield made


@pytest.fixture
def sqlite_store(tmp_path: Path, sqlite_template: Path) -> Iterator[Store]:
    """A store on SQLite only, for tests that are not about the database."""
    file = tmp_path / "pearl.db"
    shutil.copyfile(sqlite_template, file)
    made = make_store(f"sqlite:///{file}", tables=False)
    yield made
    made.close()


@pytest.fixture
def postgres_store(reused_database: ReusedDatabase) -> Iterator[Store]:
    """A store on PostgreSQL only."""
    made = make_store(reused_database.url, tables=False)
    yield made
    made.close()
    reused_database.empty()


@pytest.fixture
def postgres_database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped afterwards. Skips when no server can be started."""
    server = postgres_url()
    name = f"t{SystemRng().token_bytes(8).hex()}"
    with administering(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield server.rsplit("/", 1)[0] + f"/{name}"
    with administering(server) as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


another_postgres_database = postgres_database
"""A second empty one in the same test."""


@pytest.fixture
def seeded() -> SeededRng:
    """Replayable randomness."""
    return SeededRng(1)
