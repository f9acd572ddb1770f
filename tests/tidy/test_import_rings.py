"""No ring of imports: a module can be read, tested and moved without those that import it."""

from __future__ import annotations

from tests.tidy.import_rings import import_graph, rings

STILL = {"pearlstreet.sim": 15}
"""Modules in the ring of a package from before the rule; it may only become smaller."""


def test_no_modules_import_each_other() -> None:
    for ring in rings(import_graph()):
        packages = {".".join(name.split(".")[:2]) for name in ring}
        assert packages <= STILL.keys(), f"These modules import each other: {', '.join(ring)}"
        assert len(ring) <= STILL[packages.pop()], f"The ring has grown: {', '.join(ring)}"


def test_a_ring_is_found_wherever_its_imports_stand() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}
    assert rings(graph) == [("a", "b", "c")]
