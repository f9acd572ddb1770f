"""Events leave the outbox once each, in order, and are repeated rather than lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pearlstreet.app import events
from pearlstreet.store import outbox
from pearlstreet.store.core import Store


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def emit(store: Store, *numbers: int) -> None:
    store.write(lambda tx: [outbox.emit(tx, "job.ended", {"n": n}, org_id="org_1") for n in numbers])


def test_each_event_becomes_one_line_in_order(store: Store, tmp_path: Path) -> None:
    emit(store, *range(5))
    events.deliver(tmp_path / "log", store)
    emit(store, 5)
    events.deliver(tmp_path / "log", store)
    events.deliver(tmp_path / "log", store)
    found = lines(tmp_path / "log")
    assert [line["payload"] for line in found] == [{"n": n} for n in range(6)]
    assert [line["seq"] for line in found] == sorted({line["seq"] for line in found})
    assert found[0]["org_id"] == "org_1"


def test_a_crash_before_the_cursor_moves_repeats_lines(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit(sqlite_store, 1, 2)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "advance", crash)
        with pytest.raises(KeyboardInterrupt):
            events.deliver(tmp_path / "log", sqlite_store)
    events.deliver(tmp_path / "log", sqlite_store)
    assert {line["seq"] for line in lines(tmp_path / "log")} == {1, 2}
    assert len(lines(tmp_path / "log")) == 4


def test_a_full_file_is_turned_over(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "FILE_BYTES_MAX", 10)
    for number in range(8):
        emit(sqlite_store, number)
        events.deliver(tmp_path / "log", sqlite_store)
    kept = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert kept == ["events.jsonl", *[f"events.jsonl.{number}" for number in range(1, 6)]]
