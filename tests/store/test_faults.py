"""Disks fill, files rot, servers restart: a clear answer each time, nothing half-kept, and on it goes afterwards."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import make_store
from tests.store.things import add, ids, thing, things, with_things

from pearlstreet.base.errors import ConfigurationError, Unavailable
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.database import Database


@pytest.fixture
def on_disk(sqlite_store: Store) -> Store:
    return with_things(sqlite_store)


def _limit_pages(store: Store, pages: int) -> None:
    """As a full disk: SQLite answers SQLITE_FULL beyond so many pages. Takes hold of the writer's one connection."""
    store.database.write(
        lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").fetchall()
    )


def _pages(store: Store) -> int:
    return int(store.database.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar()) or 0)


def test_a_full_disk_keeps_what_was_acknowledged_and_recovers(on_disk: Store) -> None:
    kept: list[str] = []
    _limit_pages(on_disk, _pages(on_disk) + 8)
    with pytest.raises(Unavailable) as caught:
        for number in range(10_000):
            name = f"t{number:05d}".ljust(40, "x")
            on_disk.write(lambda tx, name=name: add(tx, name))
            kept.append(name)
    assert caught.value.retry_after_s
    assert "full" in str(caught.value)
    assert kept
    assert ids(on_disk) == kept
    _limit_pages(on_disk, 1_000_000)
    on_disk.write(lambda tx: add(tx, "after"))
    assert ids(on_disk) == sorted([*kept, "after"])


def test_a_full_disk_fails_the_whole_group_and_says_so(on_disk: Store) -> None:
    _limit_pages(on_disk, _pages(on_disk) + 4)
    answers = [
        on_disk.submit(lambda tx, n=n: [add(tx, f"t{n}-{i}".ljust(40, "x")) for i in range(50)])
        for n in range(100)
    ]
    failed = [n for n, answer in enumerate(answers) if answer.exception(30) is not None]
    assert failed
    assert all(isinstance(answers[n].exception(), Unavailable) for n in failed)
    assert len(ids(on_disk)) == 50 * (100 - len(failed))


@pytest.mark.parametrize("damage", ["header", "middle"])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "pearl.db"
    store = with_things(make_store(f"sqlite:///{path}"))
    store.write(lambda tx: [add(tx, f"t{number}") for number in range(2000)])
    store.close()
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"#" * 100
    else:
        content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    broken = Store(Database(f"sqlite:///{path}"))
    with pytest.raises(ConfigurationError) as caught:
        broken.read(lambda tx: tx.rows(sa.select(things)))
    assert "pearl restore" in str(caught.value.hint)
    with pytest.raises(ConfigurationError):
        broken.write(lambda tx: add(tx, "more"))
    broken.close()


def test_a_lock_held_by_another_process_is_waited_for_then_reported(tmp_path: Path) -> None:
    path = tmp_path / "pearl.db"
    made = with_things(make_store(f"sqlite:///{path}"))
    made.close()
    store = Store(Database(f"sqlite:///{path}", busy_s=0.02))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="busy"):
        store.write(lambda tx: add(tx, "a"))
    assert ids(store) == [], "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    store.write(lambda tx: add(tx, "b"))
    assert ids(store) == ["b"]
    store.close()


def test_words_of_a_tenant_do_not_look_like_a_failed_disk(store: Store) -> None:
    """The text of a constraint's error quotes the row: it must not pass for `disk is full` or a lost connection."""
    with_things(store)
    name = "database or disk is full; connection"
    store.write(lambda tx: add(tx, name))
    with pytest.raises(sa.exc.IntegrityError):
        store.write(lambda tx: add(tx, name))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/x", "mysql"),
        ("no url at all", "cannot be read"),
        ("sqlite:////nonexistent/folder/pearl.db", "/nonexistent/folder"),
    ],
)
def test_an_unusable_url_is_refused_with_what_would_be_right(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Database(url)
    assert caught.value.hint is not None


def test_a_password_in_a_bad_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database("postgresql//me:sesame@host/x")
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


def test_an_absent_postgresql_is_unavailable_not_a_crash() -> None:
    store = Store(Database("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(Unavailable, match="does not answer"):
        store.read(lambda tx: tx.scalar(sa.select(1)))
    with pytest.raises(Unavailable, match="does not answer"):
        store.write(lambda tx: tx.scalar(sa.select(1)))
    store.close()


def _terminate_all(url: str) -> None:
    admin = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    admin.dispose()


def test_postgresql_told_not_to_sync_syncs_our_commits_all_the_same(postgres_database: str) -> None:
    name = postgres_database.rsplit("/", 1)[1]
    engine = sa.create_engine(postgres_database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    engine.dispose()
    store = with_things(make_store(postgres_database))
    show = sa.text("SHOW synchronous_commit")
    assert store.write(lambda tx: tx.scalar(show)) == "on"
    with pytest.raises(ZeroDivisionError):
        store.write(lambda tx: 1 // 0)
    assert store.write(lambda tx: tx.scalar(show)) == "on"
    store.close()


def test_postgresql_restarting_between_commands_is_not_noticed(postgres_database: str) -> None:
    store = with_things(make_store(postgres_database))
    store.write(lambda tx: add(tx, "before"))
    _terminate_all(postgres_database)
    store.write(lambda tx: add(tx, "after"))
    assert ids(store) == ["after", "before"]
    store.close()


def test_postgresql_lost_inside_a_command_leaves_no_trace_of_it(postgres_database: str) -> None:
    store = with_things(make_store(postgres_database))

    def cut(tx: Tx) -> None:
        add(tx, "lost")
        _terminate_all(postgres_database)
        add(tx, "lost too")

    with pytest.raises(Unavailable):
        store.write(cut)
    with pytest.raises(Unavailable):
        store.read(lambda tx: (_terminate_all(postgres_database), tx.rows(sa.select(things))))
    store.write(lambda tx: add(tx, "kept"))
    assert ids(store) == ["kept"]
    assert thing(store, "kept")["state"] == "new"
    store.close()


def test_postgresql_lost_at_the_commit_says_that_it_may_have_been_kept(postgres_database: str) -> None:
    store = with_things(make_store(postgres_database))

    def cut(tx: Tx) -> None:
        add(tx, "unsure")
        tx.connection.exec_driver_sql("RELEASE SAVEPOINT command")
        tx.connection.exec_driver_sql("SAVEPOINT command")
        sa.event.listen(store.database.engine, "before_cursor_execute", lose_at_commit)

    def lose_at_commit(conn: object, cursor: object, statement: str, *rest: object) -> None:
        if statement == "COMMIT":
            _terminate_all(postgres_database)

    with pytest.raises(Unavailable, match="may have been kept"):
        store.write(cut)
    sa.event.remove(store.database.engine, "before_cursor_execute", lose_at_commit)
    store.write(lambda tx: add(tx, "kept"))
    assert ids(store) == ["kept"]
    store.close()
