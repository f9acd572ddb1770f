"""The one door for names of files: what must be refused, what must pass, and that passing keeps inside."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.security.yard import REFUSED

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.paths import mount_problem, path_problem, safe_relative

BAD = REFUSED
GOOD = [
    "a",
    "train.py",
    "a/b/c.txt",
    "./a/b",
    "folder/",
    ".hidden",
    ".config/x",
    "..a",
    "a..b",
    "数据/手写数字.csv",
    "données/été.csv",
    "файл.txt",
    "a b.txt",
    "100%.txt",
    "50%25.txt",
    "a%20b",
    "x-1_2+3=4@5,6;7!8#9$.txt",
    "console.log",
    "com10",
    "auxiliary.py",
    "null",
    "2026-01-31T08:00:00.log",
    "a-b/-c",
    "emoji-😀.txt",
    "½x",
    "x" * 255,
]


def test_the_corpus_is_large_and_has_no_repeats() -> None:
    assert len(BAD) >= 300
    assert len(set(BAD)) == len(BAD)


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_could_escape_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        safe_relative(name, field="files[0].path")
    assert refused.value.problems[0].field == "files[0].path"


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_an_honest_name_passes_unchanged(name: str) -> None:
    assert str(safe_relative(name)) == name.removeprefix("./").rstrip("/")


def test_the_folder_itself_passes() -> None:
    assert str(safe_relative(".")) == "."


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a/" * 513, "x" * 1_000_000])
def test_names_longer_than_file_systems_take_are_refused(name: str) -> None:
    assert path_problem(name) is not None


@given(st.text(alphabet=st.sampled_from("./\\%2eEfF5cC0aA~ \x00:．／‥ab"), max_size=24))
def test_what_passes_stays_beneath_its_folder(name: str) -> None:
    if path_problem(name) is None:
        path = safe_relative(name)
        joined = posixpath.normpath(posixpath.join("/root", str(path)))
        assert joined == "/root" or joined.startswith("/root/")
        assert ".." not in path.parts


@pytest.mark.parametrize("path", ["/data", "/data/train", "/mnt/a/b-1.2", "/opt/models", "/home/me/x"])
def test_data_may_be_mounted_beside_the_system(path: str) -> None:
    assert mount_problem(path) is None


@pytest.mark.parametrize(
    "path",
    ["", "data", "/", "/etc/passwd", "/proc/1", "/sys", "/dev/shm", "/usr/lib", "/ETC", "/data/../etc", "/data/./x",
     "/data//x", "/data/", "/data/a b", "/data\x00", "/data\n", "/tmp/x", "/run/x", "/var/x", "/root/x", "/data/...", "/a" * 600,
     "C:/x", "/数据", "/.."],
)  # fmt: skip
def test_data_is_never_mounted_over_the_system(path: str) -> None:
    assert mount_problem(path) is not None
