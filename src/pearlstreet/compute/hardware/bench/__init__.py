"""Measuring what a machine really gives: matrix products per precision and memory bandwidth."""

from pearlstreet.compute.hardware.bench.node import Progress, measure_node
from pearlstreet.compute.hardware.bench.result import BenchResult, DeviceBench, Measurement

__all__ = ["BenchResult", "DeviceBench", "Measurement", "Progress", "measure_node"]
