"""Laws of read_log: any offset, any limit, nothing twice, nothing missing, and an end that can be relied on."""

from __future__ import annotations

import pytest

from pearlstreet.base.outcome import Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of


def run_logged(rig: Rig) -> tuple[str, bytes]:
    """Run an attempt to its end and return it with its whole log."""
    attempt_id = rig.start(lasts_s=0.5)
    rig.ended(attempt_id)
    whole = rig.log(attempt_id)
    assert len(whole) > 8
    return attempt_id, whole


@pytest.mark.parametrize("limit", [1, 7, 64, 100_000])
def test_pieces_of_any_size_make_the_whole(rig: Rig, limit: int) -> None:
    """Pieces of any size make the whole."""
    attempt_id, whole = run_logged(rig)
    data, offset, ended = b"", 0, False
    while not ended:
        chunk = value_of(rig.engine.read_log(attempt_id, 0, offset=offset, limit=limit))
        assert len(chunk.data) <= limit
        assert chunk.next_offset == offset + len(chunk.data)
        assert chunk.data or chunk.ended
        data, offset, ended = data + chunk.data, chunk.next_offset, chunk.ended
    assert data == whole


def test_reading_resumes_at_any_offset(rig: Rig) -> None:
    """Reading resumes at any offset."""
    attempt_id, whole = run_logged(rig)
    for offset in range(0, len(whole), max(1, len(whole) // 50)):
        chunk = value_of(rig.engine.read_log(attempt_id, 0, offset=offset, limit=len(whole)))
        assert chunk.data == whole[offset:]
        assert chunk.ended
        assert chunk.dropped_bytes == 0


def test_reading_at_the_end_gives_nothing_and_says_so(rig: Rig) -> None:
    """Reading at the end gives nothing and says so."""
    attempt_id, whole = run_logged(rig)
    chunk = value_of(rig.engine.read_log(attempt_id, 0, offset=len(whole), limit=10))
    assert (chunk.data, chunk.next_offset, chunk.ended) == (b"", len(whole), True)


def test_a_follower_sees_everything_and_then_the_end(rig: Rig) -> None:
    """A follower sees everything and then the end."""
    attempt_id = rig.start(lasts_s=0.5)
    data, offset = b"", 0

    def follow() -> bool:
        nonlocal data, offset
        chunk = value_of(rig.engine.read_log(attempt_id, 0, offset=offset, limit=1 << 16))
        data, offset = data + chunk.data, chunk.next_offset
        return bool(chunk.ended)

    rig.until(follow)
    assert rig.report(attempt_id).ended_us is not None
    assert data == rig.log(attempt_id)


def test_the_log_of_a_running_attempt_has_no_end_yet(rig: Rig) -> None:
    """The log of a running attempt has no end yet."""
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    rig.until(lambda: rig.log(attempt_id))
    before = rig.log(attempt_id)
    chunk = value_of(rig.engine.read_log(attempt_id, 0, offset=0, limit=1 << 20))
    assert not chunk.ended
    assert chunk.data.startswith(before)


def test_every_task_has_a_log_of_its_own(rig: Rig) -> None:
    """Every task has a log of its own."""
    attempt_id = rig.start(lasts_s=0.3, tasks=2)
    rig.ended(attempt_id)
    assert rig.log(attempt_id, 0)
    assert rig.log(attempt_id, 1)


def test_the_log_of_an_unknown_attempt_is_refused(rig: Rig) -> None:
    """The log of an unknown attempt is refused."""
    assert isinstance(rig.engine.read_log("att_unknown", 0, offset=0, limit=10), Refused)


@pytest.mark.parametrize("rank", [1, -1, 10_000])
def test_the_log_of_an_unknown_task_is_refused(rig: Rig, rank: int) -> None:
    """The log of an unknown task is refused."""
    attempt_id = rig.start()
    assert isinstance(rig.engine.read_log(attempt_id, rank, offset=0, limit=10), Refused)


def test_a_log_that_was_trimmed_is_as_long_and_says_what_is_missing(rig: Rig) -> None:
    """An engine that keeps logs tells their size; deleting them frees it, and reading counts what is gone."""
    attempt_id, whole = run_logged(rig)
    size = value_of(rig.engine.log_sizes()).get(attempt_id, 0)
    assert size in (0, len(whole))
    for freed in (size, 0):
        assert value_of(rig.engine.trim_log(attempt_id, size_bytes=1)) == freed
        assert value_of(rig.engine.log_sizes()).get(attempt_id, 0) == 0
    chunk = value_of(rig.engine.read_log(attempt_id, 0, offset=0, limit=len(whole)))
    assert (len(chunk.data) + chunk.dropped_bytes, chunk.next_offset) == (len(whole), len(whole))
    assert chunk.dropped_bytes == size and chunk.ended
    rig.restart()
    assert value_of(rig.engine.read_log(attempt_id, 0, offset=0, limit=len(whole))) == chunk
    assert value_of(rig.engine.trim_log("att_unknown", size_bytes=1)) == 0
