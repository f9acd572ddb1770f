"""Help: written down, translated, and within the terminal in both languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pearlstreet.app.pearl import COMMAND_GROUPS
from pearlstreet.app.reference import document
from pearlstreet.cli.helping import render, wrap
from pearlstreet.cli.main import HOMES, command_of, make_app, wanted
from pearlstreet.cli.output import STATES, cells

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def root() -> Any:
    return command_of(make_app(COMMAND_GROUPS))


def test_the_reference_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEARL_LANG", "en")
    written = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert document() == written, "write it anew: python -m pearlstreet.app.reference > docs/reference/cli.md"


def test_a_command_loads_its_own_module_alone(root: Any) -> None:
    homes = {**COMMAND_GROUPS, **HOMES}
    assert set(root.commands) == {name for names in homes.values() for name in names}
    for name, whole in root.commands.items():
        assert wanted(homes, [name, "--help"], {}) == name
        alone = command_of(make_app(COMMAND_GROUPS, name)).commands
        assert list(alone) == [name]
        assert sorted(getattr(alone[name], "commands", {})) == sorted(getattr(whole, "commands", {}))


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [([], {}), (["--help"], {}), (["jobz"], {}), (["jobs"], {"_PEARL_COMPLETE": "complete_bash"})],
)
def test_help_slips_and_completion_know_every_command(
    arguments: list[str], environment: dict[str, str]
) -> None:
    assert wanted({**COMMAND_GROUPS, **HOMES}, arguments, environment) is None


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_help_stays_within_80_columns(root: Any, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEARL_LANG", language)

    def walk(command: Any, name: str, parent: Any) -> None:
        context = command.context_class(command, info_name=name, parent=parent)
        context.terminal_width = 80
        words = render(command, context)
        assert [line for line in words.splitlines() if cells(line) > 80] == [], context.command_path
        for child_name, child in getattr(command, "commands", {}).items():
            walk(child, child_name, context)

    walk(root, "pearl", None)


def test_chinese_is_wrapped_by_its_width() -> None:
    assert wrap("智算中心 pearl 运行", 10) == ["智算中心", "pearl 运行"]


def test_states_that_tables_show_have_a_colour() -> None:
    from pearlstreet.compute.engines.protocol import EndReason
    from pearlstreet.compute.execution.model import AttemptState
    from pearlstreet.compute.jobs.model import JobState

    assert sorted({*JobState, *AttemptState, *EndReason} - set(STATES)) == []
