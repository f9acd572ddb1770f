"""The toy engine keeps every law of engines that run no programs."""

from pearlstreet.compute.engines.conformance import laws

globals().update(laws(programs=False))
