"""How near devices are to each other."""

from __future__ import annotations

from pearlstreet.compute.pool.topology import Level, Place, spread


def test_levels_grow_with_distance_and_unknown_is_never_near() -> None:
    here = Place("p1", "r1", "n1", 0)
    assert here.level_to(here) is Level.LINK_GROUP
    assert here.level_to(Place("p1", "r1", "n1", 1)) is Level.NODE
    assert here.level_to(Place("p1", "r1", "n2")) is Level.RACK
    assert here.level_to(Place("p1", "r2", "n3")) is Level.POD
    assert here.level_to(Place("p2", "r1", "n4")) is Level.CENTER, "rack names repeat between PODs"
    assert Place("", "", "a").level_to(Place("", "", "b")) is Level.CENTER


def test_spread_is_the_widest_pair() -> None:
    assert spread([]) is Level.LINK_GROUP
    assert spread([Place("p", "r", "a"), Place("p", "r", "a"), Place("p", "s", "b")]) is Level.POD
