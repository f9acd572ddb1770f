"""The guard against drift: every engine of the registry is held to every law."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.engines.registry import ENGINES, EngineKind, engine_kind
from tests.conformance.engines import RIGS, Rig

METHODS = [name for name, _ in inspect.getmembers(Engine, inspect.isfunction) if not name.startswith("_")]


def test_every_engine_has_a_rig_and_every_rig_an_engine() -> None:
    names = {kind.name for kind in ENGINES}
    assert names == {rig.engine for rig in RIGS.values()}
    assert names <= set(RIGS), "the first rig of a kind has its name: all laws run on it"


def test_names_are_used_once() -> None:
    assert len({kind.name for kind in ENGINES}) == len(ENGINES)


@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: kind.name)
def test_every_kind_has_the_methods_of_the_protocol(kind: EngineKind) -> None:
    engine = kind.load()
    for method in METHODS:
        wanted = inspect.signature(getattr(Engine, method)).parameters
        given = inspect.signature(getattr(engine, method)).parameters
        assert list(given) == list(wanted), f"{kind.name}.{method}"
        assert [p.kind for p in given.values()] == [p.kind for p in wanted.values()], f"{kind.name}.{method}"


def test_a_rig_says_of_its_engine_what_the_engine_says_of_itself(rig: Rig) -> None:
    assert rig.engine.capabilities().runs_code is RIGS[rig.engine.name].runs_code


def test_an_unknown_engine_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="quantum") as caught:
        engine_kind("quantum")
    assert "simulated" in str(caught.value.hint)
    assert engine_kind("simulated").name == "simulated"


def test_every_law_runs_on_every_engine_it_can_apply_to() -> None:
    """No law picks its engines: each takes `rig` (all engines) or `code_rig` (all that run code), itself or by a fixture."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file.name == Path(__file__).name:
            continue
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                wishes = {argument.arg for argument in function.args.args}
                assert wishes & {"rig", "code_rig", "logged"}, f"{file.name}: {function.name}"
