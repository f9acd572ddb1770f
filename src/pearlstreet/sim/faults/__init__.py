"""Everything that can go wrong in a world: one function a kind, one line a kind in `registry`."""
