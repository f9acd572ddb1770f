"""Faults of a world: one function and one line in `registry` per kind."""
