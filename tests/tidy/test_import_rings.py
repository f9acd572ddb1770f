"""No ring of imports: a module can be read, tested and moved without those that import it."""

from __future__ import annotations

from tests.tidy.import_rings import import_graph, rings


def test_no_modules_import_each_other() -> None:
    found = rings(import_graph())
    assert not found, "\n".join(f"These modules import each other: {', '.join(ring)}" for ring in found)


def test_a_ring_is_found_wherever_its_imports_stand() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}
    assert rings(graph) == [("a", "b", "c")]
