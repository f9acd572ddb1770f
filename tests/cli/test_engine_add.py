"""`pearl engine add`: it tries the engine, shows the table, and writes only what was agreed to and what a center starts with."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pearlstreet.app import engine_commands
from pearlstreet.app.pearl import COMMAND_GROUPS
from pearlstreet.base.errors import PearlError
from pearlstreet.cli.main import command_of, make_app


def pearl(*words: str) -> None:
    command_of(make_app(COMMAND_GROUPS, only=words[0]))(list(words), standalone_mode=False)


def engines(data: Path) -> dict[str, object]:
    found = tomllib.loads((data / "pearl.toml").read_text())["engines"]
    assert isinstance(found, dict)
    return found


def test_a_first_engine_beside_this_machine_keeps_it_and_the_file_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pearl.toml").write_text('# ours\nname = "river"')
    pearl("engine", "add", "simulated", "lab", "--cluster", "2x8xH100-80G", "--data", str(tmp_path), "--yes")
    content = (tmp_path / "pearl.toml").read_text()
    assert content.startswith('# ours\nname = "river"\n')
    assert engines(tmp_path) == {
        "local": {"kind": "local"},
        "lab": {"kind": "simulated", "cluster": "2x8xH100-80G"},
    }
    assert "[engines.lab]" in capsys.readouterr().err


def test_nothing_is_written_without_a_yes_or_for_an_engine_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(PearlError, match="needs a yes"):
        pearl("engine", "add", "simulated", "lab", "--cluster", "2x8xH100-80G", "--data", str(tmp_path))
    with pytest.raises(PearlError):
        pearl("engine", "add", "simulated", "lab", "--cluster", "rubbish", "--data", str(tmp_path), "--yes")
    with pytest.raises(PearlError, match="needs more") as missing:
        pearl(
            "engine", "add", "slurm", "hpc", "--rest", "http://127.0.0.1:9", "--data", str(tmp_path), "--yes"
        )
    assert "--jwt-key" in [problem.field for problem in missing.value.problems]
    assert not (tmp_path / "pearl.toml").exists()


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    words = (
        "engine",
        "add",
        "simulated",
        "lab",
        "--cluster",
        "1x8xH100-80G",
        "--data",
        str(tmp_path),
        "--yes",
    )
    pearl(*words, "--without-local")
    assert set(engines(tmp_path)) == {"lab"}
    with pytest.raises(PearlError, match="lab already"):
        pearl(*words)


def test_a_cluster_that_does_not_answer_is_not_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, shared = tmp_path / "jwt.key", tmp_path / "shared"
    key.write_bytes(b"k" * 32)
    shared.mkdir()
    words = (
        "--rest",
        "http://127.0.0.1:9",
        "--jwt-key",
        str(key),
        "--shared",
        str(shared),
        "--users",
        "games",
    )
    with pytest.raises(PearlError, match="nothing was written"):
        pearl("engine", "add", "slurm", "hpc", *words, "--partition", "gpu", "--data", str(tmp_path), "--yes")
    assert "Start slurmrestd" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / engine_commands.FILE).exists()
