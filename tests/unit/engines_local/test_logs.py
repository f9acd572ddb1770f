"""Logs: whatever is written in whatever pieces, what is kept, dropped and counted adds up; secrets never get through."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.engines.local.reading import read_log
from pearlstreet.compute.engines.local.supervisor.logs import LogWriter, Redactor, pieces_of


def read_all(folder: Path, limit: int, offset: int = 0) -> list[tuple[int, bytes, int]]:
    """(offset, data, dropped before it) of each chunk."""
    found = []
    while True:
        chunk = read_log(folder, 0, offset, limit, over=True)
        assert chunk.next_offset == offset + chunk.dropped_bytes + len(chunk.data)
        if chunk.data:
            found.append((chunk.next_offset - len(chunk.data), chunk.data, chunk.dropped_bytes))
        offset = chunk.next_offset
        if chunk.ended:
            return found


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9000), max_size=40),
    limit=st.integers(1, 60_000),
    read=st.integers(1, 20_000),
)
def test_head_and_tail_are_kept_and_the_middle_is_counted(pieces: list[bytes], limit: int, read: int) -> None:
    whole = b"".join(pieces)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        writer = LogWriter(str(folder / "logs"), 0, limit)
        for piece in pieces:
            writer.append(piece)
        writer.finish()
        chunks = read_all(folder, read)
        assert writer.offset == len(whole)
        for offset, data, _ in chunks:
            assert whole[offset : offset + len(data)] == data
        kept = sum(len(data) for _, data, _ in chunks)
        assert kept + sum(dropped for _, _, dropped in chunks) == len(whole)
        assert kept <= max(limit, 4096 * 9) + 4096
        assert whole.startswith(
            b"".join(data for offset, data, dropped in chunks if not dropped)[: limit // 2]
        )
        if len(whole) <= limit // 2:
            assert kept == len(whole)
        if chunks:
            assert chunks[-1][0] + len(chunks[-1][1]) == len(whole)


@given(secrets=st.lists(st.binary(min_size=4, max_size=30), max_size=4), data=st.data())
def test_secrets_are_blanked_however_the_stream_is_cut(secrets: list[bytes], data: st.DataObject) -> None:
    parts = data.draw(
        st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([*secrets, b"plain"])), max_size=12)
    )
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    redactor = Redactor(secrets)
    out = b"".join(
        redactor.feed(stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )
    out += redactor.rest()
    assert len(out) == len(stream)
    assert all(new in (old, ord("*")) for new, old in zip(out, stream, strict=True))
    for piece in pieces_of(secrets):
        if set(piece) != {ord("*")}:
            assert piece not in out


def test_a_key_of_many_lines_is_blanked_line_by_line() -> None:
    key = b"-----BEGIN KEY-----\n" + b"AbCdEf123\n" * 3 + b"-----END KEY-----\n"
    out = Redactor([key]).feed(b"see AbCdEf123 there")
    assert out == b"see ********* there"


def test_a_huge_secret_is_no_burden() -> None:
    redactor = Redactor([b"ab" * 60_000])
    assert b"abababab" not in redactor.feed(b"xx" + b"ab" * 60_000) + redactor.rest()
