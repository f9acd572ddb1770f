"""A model from its folder into the hub and back, by commands alone; and what another organisation gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with a_center(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.fixture(scope="module")
def ann(here: Center) -> Pearl:
    return a_tenant(here, "studio", "ann")


@pytest.fixture(scope="module")
def bob(here: Center) -> Pearl:
    return a_tenant(here, "other", "bob")


def test_a_folder_goes_into_the_hub_and_comes_back(ann: Pearl, bob: Pearl, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("secret")
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    weights = bytes(range(256)) * 9000
    (source / "deep" / "weights.bin").write_bytes(weights)
    (source / "link.bin").symlink_to(source / "deep" / "weights.bin")

    ann.right("hub", "upload", "studio/tiny", str(source), "--create", "-m", "First weights")
    shown = ann.right("hub", "show", "studio/tiny", "--json").value
    assert shown["commit"]["title"] == "First weights" and shown["repository"]["tags"] == ["license:mit"]
    files = ann.right("hub", "files", "studio/tiny", "-r", "--json").rows
    assert [row["path"] for row in files] == ["README.md", "deep/weights.bin", "link.bin"]
    ann.right("hub", "tag", "studio/tiny", "v1")

    (source / "deep" / "weights.bin").write_bytes(b"newer")
    ann.right("hub", "upload", "studio/tiny", str(source))
    target = tmp_path / "back"
    ann.right("hub", "download", "studio/tiny@v1", "--to", str(target))
    assert (target / "deep" / "weights.bin").read_bytes() == weights
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == [
        "README.md",
        "link.bin",
        "weights.bin",
    ]
    assert len(ann.right("hub", "log", "studio/tiny", "--json").rows) == 3
    counted = ann.right("hub", "downloads", "studio/tiny", "--json").rows
    assert [(row["user"], row["files"]) for row in counted] == [("ann", 3)]

    for words in (("show", "studio/tiny"), ("download", "studio/tiny", "--to", str(tmp_path / "no"))):
        assert bob("hub", *words).code != 0
    assert bob.right("hub", "list", "--json").rows == []
    ann.right("hub", "change", "studio/tiny", "--visibility", "public", "--gate", "manual")
    assert bob("hub", "download", "studio/tiny", "--to", str(tmp_path / "no")).code != 0
    bob.right("hub", "request", "studio/tiny", "-m", "for a course")
    ann.right("hub", "accept", "studio/tiny", "bob")
    bob.right("hub", "download", "studio/tiny", "--to", str(tmp_path / "yes"), "--path", "README.md")
    assert ann("hub", "delete", "studio/tiny").code != 0
    ann.right("hub", "delete", "studio/tiny", "--yes")
    assert ann("hub", "show", "studio/tiny").code != 0


def test_env_prints_what_the_clients_of_the_hub_read(ann: Pearl) -> None:
    lines = ann.right("hub", "env").out.splitlines()
    assert lines[0].startswith("export HF_ENDPOINT=http://127.0.0.1:") and lines[0].endswith("/hf")
    assert lines[1].startswith("export HF_TOKEN=")
