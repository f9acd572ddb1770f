"""The conformance suite: the laws that every engine keeps, as tests for pytest, which engines of other packages import.

A test module of an engine adds the laws to its names, and a fixture `rig` (for engines that run programs also `code_rig`)
gives them a `Rig` of that engine. docs/guides/plugins.md shows the whole file.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping

from pearlstreet.compute.engines.conformance.rig import LONG_S as LONG_S
from pearlstreet.compute.engines.conformance.rig import Rig as Rig
from pearlstreet.compute.engines.conformance.rig import build_order as build_order

Law = Callable[..., None]
FIXTURES = ("rig", "code_rig")
"""Names of the fixtures that laws take: any engine, or one that runs programs."""


def laws(*, programs: bool = True) -> Mapping[str, Law]:
    """Return the laws by the name of their test; `programs` includes those for engines that run programs."""
    found: dict[str, Law] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        if not module.name.endswith("_laws"):
            continue
        for name, law in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
            if name.startswith("test_") and law.__module__ == module.name:
                assert name not in found, f"two laws are called {name}"
                if programs or "code_rig" not in inspect.signature(law).parameters:
                    found[name] = law
    return found
