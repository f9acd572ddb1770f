"""Previews: what files hold, and that hostile ones harm nothing. Files are read by the confined process that the hub uses."""

from __future__ import annotations

import bz2
import collections
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pearlstreet.hub.model import TreeEntry
from pearlstreet.hub.preview.facts import format_count
from pearlstreet.hub.preview.formats import Format, format_of
from pearlstreet.hub.preview.inspector import sum_up
from pearlstreet.hub.preview.pickles import rate_import, scan_pickles
from pearlstreet.hub.preview.runner import run_preview
from pearlstreet.hub.preview.safetensors import BrokenFile, read_safetensors


class Runs:
    """An object whose pickle runs a program."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("id",)


def seen(name: str, content: bytes) -> dict[str, Any]:
    """What the confined process sees."""
    return dict(run_preview(lambda at, size: content[at : at + size], len(content), format_of(name)))


def imports(content: bytes) -> list[str] | None:
    found = scan_pickles(io.BytesIO(content), len(content))
    return None if found is None else [one["name"] for one in found["imports"]]  # type: ignore[attr-defined]


def safetensors(**tensors: tuple[str, list[int], int]) -> bytes:
    header, at = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + bytes(at)


def test_the_name_chooses_the_reader() -> None:
    for name, chosen in (("a.CSV.gz", Format.CSV), ("b.parquet", Format.PARQUET), ("m.pt", Format.PICKLE)):
        assert format_of(name) is chosen
    assert format_of("a.parquet.gz") is Format.PLAIN and format_of("README.md") is Format.PLAIN


@pytest.mark.parametrize("protocol", range(6))
def test_imports_of_a_pickle_are_found_in_every_protocol(protocol: int) -> None:
    assert imports(pickle.dumps(Runs(), protocol)) == ["posix.system"]
    ordered = pickle.dumps([collections.OrderedDict(a=b"x" * 5000)] * 2, protocol)
    assert "collections.OrderedDict" in (imports(ordered) or ())


def test_pickles_are_found_in_archives_arrays_and_compressed_files() -> None:
    evil = pickle.dumps(Runs())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("model/data.pkl", evil)
        archive.writestr("model/data/0", b"\x80\x02weights")
    header = b"{'descr': '|O', 'shape': (1,)}".ljust(0x76)
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + evil
    for content in (
        packed.getvalue(),
        array,
        *(pack(evil) for pack in (zlib.compress, gzip.compress, bz2.compress, lzma.compress)),
    ):
        assert imports(content) == ["posix.system"]
    assert imports(pickle.dumps(1, 2) + pickle.dumps(2, 2) + evil) == ["posix.system"], "pickles in a row"


def test_what_is_no_pickle_is_not_called_one() -> None:
    for content in (b"hello\nworld", os.urandom(300).replace(b"\x80", b"a"), b"\0" * 100, b"cut", b""):
        assert imports(content) is None, content


def test_hidden_imports_are_dangerous() -> None:
    hidden = b"\x80\x04\x8c\x02os\x94\x30\x8c\x06system\x94\x68\x00\x68\x01\x93."
    assert imports(hidden) == ["os.system"], "put together from the memo"
    computed = b"\x80\x04\x5d\x5d\x93."
    assert rate_import((imports(computed) or [""])[0]) == "dangerous", (
        "what cannot be followed is not trusted"
    )
    broken = scan_pickles(io.BytesIO(b"\x80\x04\x8c\x02os\xffrest"), 12)
    assert broken is not None and not broken["is_complete"]


@pytest.mark.parametrize(
    ("name", "rating"),
    [
        ("builtins.eval", "dangerous"),
        ("builtins.setattr", "dangerous"),
        ("os.path.join", "dangerous"),
        ("torch.load", "dangerous"),
        ("torch._utils._rebuild_tensor_v2", "expected"),
        ("builtins.set", "expected"),
        ("sklearn.svm._classes.SVC", "unknown"),
        ("torch.Sizes", "unknown"),
    ],
)
def test_imports_are_rated(name: str, rating: str) -> None:
    assert rate_import(name) == rating


def test_parameters_are_counted_from_the_header_alone() -> None:
    content = safetensors(a=("F32", [2, 3], 24), b=("BF16", [4], 8), c=("F32", [], 4))
    read: list[int] = []

    def part(at: int, size: int) -> bytes:
        read.append(size)
        return content[at : at + size] if at < len(content) else bytes(size)

    found = run_preview(part, len(content), Format.SAFETENSORS)
    assert found["parameters"] == {"F32": 7, "BF16": 4} and found["total"] == 11
    assert found["tensors"][0] == {"name": "a", "dtype": "F32", "shape": [2, 3]}  # type: ignore[index]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 4) + b"[{]}",
        struct.pack("<Q", 9000) + b"[" * 9000,
        safetensors(a=("F32", [1 << 40, 1 << 40], 4)),
        safetensors(a=("F99", [1], 4)),
        safetensors(a=("F32", [-1], 4)),
    ],
)
def test_a_lying_header_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenFile):
        read_safetensors(io.BytesIO(content), len(content))


def test_tables_show_columns_and_first_rows(tmp_path: Path) -> None:
    table = seen("a.csv", "标签,值\n数,1.5\n".encode() + b"x,2\n" * 100_000)
    assert [one["name"] for one in table["columns"]] == ["标签", "值"] and table["rows"][0] == ["数", 1.5]
    assert len(table["rows"]) == 20
    lines = seen("a.jsonl.gz", gzip.compress('{"a": "你好", "b": [1, {"c": null}]}\n'.encode() * 50))
    assert lines["rows"][0][0] == "你好"
    place = tmp_path / "a.parquet"
    duckdb.sql(f"COPY (SELECT i, 'v' || i v, [i] n FROM range(5000) t(i)) TO '{place}' (FORMAT parquet)")
    parquet = seen("a.parquet", place.read_bytes())
    assert parquet["row_count"] == 5000 and parquet["rows"][1] == [1, "v1", "[1]"]


def test_text_images_and_sound_are_recognised_by_their_bytes() -> None:
    assert seen("a.py", "# 你好\n".encode() * 20_000)["is_cut"]
    assert seen("page.html", b"<script>")["kind"] == "text"
    assert seen("x.png", b"\x89PNG\r\n\x1a\n1234")["media_type"] == "image/png"
    assert seen("x", b"RIFF1234WAVEfmt ")["kind"] == "audio"
    assert seen("x.bin", b"\0\1\2\3")["kind"] == "none"
    assert seen("hidden.dat", pickle.dumps(Runs()))["kind"] == "pickle"


def test_hostile_files_end_in_the_confined_process() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * (80 << 20))
    found = seen("bomb.pt", bomb.getvalue())
    assert found["kind"] == "pickle" and not found["is_complete"]
    assert seen("a.parquet", b"PAR1" + os.urandom(3000) + b"PAR1")["kind"] == "broken"
    assert seen("a.csv", b"/etc/passwd\n" + b'"' * 50_000)["kind"] in ("table", "broken")
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n"
    assert seen("a.jsonl", deep)["kind"] in ("table", "broken", "too_large")
    assert seen("endless.pkl", b"\x80\x02" + b"(" * 1_200_000)["is_complete"] is False


def test_facts_of_a_repository_sum_up_its_weights_and_pickles() -> None:
    def entry(path: str, sha256: str) -> TreeEntry:
        return TreeEntry(path, sha256, 1, "")

    weights = {"kind": "safetensors", "parameters": {"F32": 10}, "total": 10}
    other = {"kind": "safetensors", "parameters": {"F32": 99}, "total": 99}
    evil = {"kind": "pickle", "imports": [{"name": "os.system", "rating": "dangerous"}], "is_complete": True}
    plain = {"kind": "pickle", "imports": [{"name": "torch.Size", "rating": "expected"}], "is_complete": True}
    facts = sum_up(
        [
            (entry("model-00001-of-00002.safetensors", "a"), weights),
            (entry("model-00002-of-00002.safetensors", "b"), weights),
            (entry("consolidated.safetensors", "c"), other),
            (entry("a.pt", "d"), plain),
            (entry("b.pt", "e"), evil),
        ]
    )
    assert facts["safetensors"] == {"parameters": {"F32": 20}, "total": 20}
    assert [one["path"] for one in facts["pickles"]] == ["b.pt", "a.pt"]  # type: ignore[attr-defined]
    assert format_count(7_241_732_096) == "7.24B"
