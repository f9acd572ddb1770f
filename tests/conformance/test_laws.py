"""Every law of the published suite, over every engine of the registry (see `conftest.py` for the rigs)."""

from __future__ import annotations

from pearlstreet.compute.engines.conformance import laws

globals().update(laws())
