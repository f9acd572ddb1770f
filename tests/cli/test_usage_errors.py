"""Command lines that are not right, centers that are not there, and mistakes of our own: a message, never a traceback."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import typer

from pearlstreet.cli import main as cli
from tests.cli.center import Pearl, command


@pytest.fixture
def pearl(tmp_path: Path) -> Pearl:
    return Pearl(
        {
            "PEARL_URL": "http://127.0.0.1:1",
            "PEARL_CONFIG": str(tmp_path / "profiles.toml"),
            "PEARL_LANG": "en",
            "XDG_STATE_HOME": str(tmp_path),
        }
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jbos"], "There is no command jbos; did you mean 'jobs'"),
        (["nodes", "drian", "n"], "There is no command drian; did you mean 'drain'"),
        (["jobs", "--lmit", "3"], "There is no option --lmit; did you mean --limit?"),
        (["jobs", "--limit", "many"], "--limit must be a whole number"),
        (["why"], "JOB is missing"),
        (["why", "a", "b"], "This is too much: b"),
        (["jobs", "--limit"], "The option --limit needs a value"),
    ],
)
def test_a_misused_command_says_what_would_be_right(pearl: Pearl, arguments: list[str], words: str) -> None:
    answer = pearl(*arguments)
    assert answer.code == 2
    assert words in answer.err
    assert answer.out == ""


def test_it_says_so_in_chinese(pearl: Pearl) -> None:
    answer = pearl("jobs", "--lmit", "3", PEARL_LANG="zh-CN")
    assert (answer.code, "没有选项 --lmit；您是否想用 --limit？" in answer.err) == (2, True)


def test_without_a_key_it_says_how_to_sign_in(pearl: Pearl) -> None:
    answer = pearl("jobs")
    assert answer.code == 1
    assert "You are not signed in to http://127.0.0.1:1" in answer.err
    assert "pearl login" in answer.err


def test_a_center_that_is_not_there(pearl: Pearl) -> None:
    answer = pearl("jobs", PEARL_KEY="k")
    assert answer.code == 1
    assert "No center answers at http://127.0.0.1:1" in answer.err


def test_a_damaged_profile_file(pearl: Pearl) -> None:
    Path(pearl.variables["PEARL_CONFIG"]).write_text("[current\n")
    answer = pearl("jobs")
    assert answer.code == 1
    assert "is damaged" in answer.err


def test_nothing_is_undone_without_a_yes(pearl: Pearl) -> None:
    answer = pearl("nodes", "drain", "n1", PEARL_KEY="k")
    assert answer.code == 1
    assert "This needs a yes: Drain n1?" in answer.err


def test_a_mistake_of_our_own_leaves_a_log_and_no_traceback(
    pearl: Pearl, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()

    @app.command()
    def broken() -> None:
        raise KeyError("lost")

    app.callback()(lambda: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["pearl", "broken"])
    with pytest.raises(SystemExit) as ended:
        cli.run(app)
    said = capsys.readouterr().err
    log = tmp_path / "pearlstreet" / "cli.log"
    assert ended.value.code == 1
    assert "Traceback" not in said
    assert str(log) in said.replace("\n", "")
    assert "KeyError: 'lost'" in log.read_text()


def test_help_and_version_are_answered_without_the_slow_libraries() -> None:
    code = (
        "import sys\nfrom pearlstreet.app.pearl import main\nsys.argv = ['pearl', '--version']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'httpx', 'rich', 'fastapi', 'sqlalchemy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([*command()[:1], "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_get_completion(shell: str, tmp_path: Path) -> None:
    import os

    variables = {**os.environ, "_PEARL_COMPLETE": f"complete_{shell}"}
    variables |= {"COMP_WORDS": "pearl fair", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "pearl fair"}
    code = "import sys\nsys.argv = ['pearl']\nfrom pearlstreet.app.pearl import main\nmain()"
    done = subprocess.run(
        [*command()[:1], "-c", code], capture_output=True, text=True, env=variables, check=False
    )
    assert "fair-share" in done.stdout, done
