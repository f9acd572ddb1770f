"""The guard against drift: every engine of the registry is held to every law."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.outcome import Done
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.conformance import FIXTURES, Rig, laws
from pearlstreet.compute.engines.host import EngineHost
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.engines.registry import _OURS, EngineKind, engine_kind
from tests.conformance import slurm_rig
from tests.conformance.engines import RIGS

METHODS = [name for name, _ in inspect.getmembers(Engine, inspect.isfunction) if not name.startswith("_")]


def _of_kind(kind: EngineKind) -> Any:
    return pytest.param(kind, id=kind.name, marks=[pytest.mark.slow] if RIGS[kind.name].is_slow else [])


def _options(kind: EngineKind, folder: Path) -> Mapping[str, object]:
    """Settings with which an engine of that kind can be made here."""
    if kind.name == "slurm":
        return slurm_rig.options(folder)
    return {"cluster": "2x8xH100-80G"} if kind.name == "simulated" else {}


def test_every_engine_has_a_rig_and_every_rig_an_engine() -> None:
    names = {kind.name for kind in _OURS}
    assert names == {rig.engine for rig in RIGS.values()}
    assert names <= set(RIGS), "the first rig of a kind has its name: all laws run on it"


def test_names_are_used_once() -> None:
    assert len({kind.name for kind in _OURS}) == len(_OURS)


def test_every_kind_has_the_methods_of_the_protocol(rig: Rig) -> None:
    for method in METHODS:
        wanted = inspect.signature(getattr(Engine, method)).parameters
        given = inspect.signature(getattr(type(rig.engine), method)).parameters
        assert list(given) == list(wanted), f"{rig.engine.name}.{method}"
        assert [p.kind for p in given.values()] == [p.kind for p in wanted.values()], method


@pytest.mark.parametrize("kind", [_of_kind(kind) for kind in _OURS])
def test_a_kind_makes_an_engine_of_the_name_that_the_center_gives(kind: EngineKind, tmp_path: Path) -> None:
    host = EngineHost("lab", True, tmp_path, tmp_path / kind.name, SystemClock(), SeededRng(1))
    engine = kind.make(host, _options(kind, tmp_path))
    try:
        assert engine.name == "lab"
        nodes = engine.nodes()
        assert isinstance(nodes, Done)
        assert nodes.value
        assert all(node.name.startswith("lab:") for node in nodes.value)
    finally:
        engine.close()


def test_an_option_that_a_kind_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    host = EngineHost("lab", True, tmp_path, tmp_path / "lab", SystemClock(), SeededRng(1))
    for kind in _OURS:
        with pytest.raises(ConfigurationError, match="colour") as caught:
            kind.make(host, {"colour": "red"})
        assert set(kind.options) <= set(str(caught.value.hint).replace(",", "").split())


def test_a_rig_says_of_its_engine_what_the_engine_says_of_itself(rig: Rig) -> None:
    assert rig.engine.capabilities().runs_code is RIGS[rig.engine.name].runs_code


def test_an_unknown_engine_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="quantum") as caught:
        engine_kind("quantum")
    assert "simulated" in str(caught.value.hint)
    assert engine_kind("simulated").name == "simulated"


def test_every_law_runs_on_every_engine_it_can_apply_to() -> None:
    """No law picks its engines: each takes `rig` (all engines) or `code_rig` (all that run programs)."""
    for name, law in laws().items():
        assert set(inspect.signature(law).parameters) & set(FIXTURES), name
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file.name == Path(__file__).name:
            continue
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                wishes = {argument.arg for argument in function.args.args}
                assert wishes & set(FIXTURES), f"{file.name}: {function.name}"


def test_every_law_is_a_sentence() -> None:
    for name, law in laws().items():
        sentence = (law.__doc__ or "").split("\n")[0]
        assert sentence.endswith(".") and len(sentence.split()) > 2, name


def test_laws_about_programs_are_left_out_for_engines_that_run_none() -> None:
    without = laws(programs=False)
    assert 0 < len(without) < len(laws())
    assert all("code_rig" not in inspect.signature(law).parameters for law in without.values())
