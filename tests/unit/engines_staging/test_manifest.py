"""What a manifest says is believed only as far as its task allows."""

from __future__ import annotations

from typing import Any

import pytest

from pearlstreet.compute.engines.staging.model import FileRequest, StagerTask, read_result

DIGEST, OTHER = "a" * 64, "b" * 64
PUT = StagerTask("t", "put", "att_1", files=(FileRequest("x", 10), FileRequest("y", 5, DIGEST)))
SAVE = StagerTask("t", "save", "job_1", is_checkpoint=True, files_max=4, bytes_max=100)


def line(path: str, size: int = 1, digest: str = DIGEST, **values: Any) -> dict[str, Any]:
    return {"path": path, "size_bytes": size, "sha256": digest, **values}


def test_a_manifest_that_matches_is_taken() -> None:
    result = read_result(PUT, {"files": [line("x", 10, OTHER), line("y", 5)], "again": None})
    assert result.again is None and [file.path for file in result.files] == ["x", "y"]


@pytest.mark.parametrize(
    "files",
    [
        [line("x"), line("z")],
        [line("x")],
        [line("x", 11), line("y")],
        [line("x", -1), line("y")],
        [line("x"), line("y", digest=OTHER)],
        [line("x", digest="../../etc/passwd"), line("y")],
        [line("x", digest=DIGEST.upper()), line("y")],
        [{"path": "x"}, line("y")],
        [line("x", size="many"), line("y")],  # type: ignore[arg-type]
        "no list",
    ],
)
def test_one_that_says_anything_else_is_not(files: Any) -> None:
    result = read_result(PUT, {"files": files, "again": None})
    assert result.again is not None


def test_the_tree_of_a_checkpoint_is_plain_and_within_its_limits() -> None:
    good = [
        line("step-1", 0, "", kind="folder"),
        line("step-1/weights", 90),
        line("latest", 0, "", kind="link", target="step-1"),
    ]
    assert read_result(SAVE, {"files": good}).again is None


@pytest.mark.parametrize(
    "files",
    [
        [line("../x")],
        [line("/x")],
        [line("a/./b"), line("a", kind="folder")],
        [line("x"), line("x")],
        [line("a", kind="link", target="/etc"), line("a/passwd")],
        [line("a"), line("a/b")],
        [line("orphan/b")],
        [line("x", 101)],
        [line(f"f{number}") for number in range(5)],
        [line("p", kind="device")],
        [line("l", kind="link", target="")],
    ],
)
def test_a_tree_that_leads_elsewhere_is_not_taken(files: Any) -> None:
    assert read_result(SAVE, {"files": files}).again is not None
