"""Normalised compute rates by device model, and the capacity of the pool in cards and PFLOPS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pearlstreet.compute.hardware.bench.result import BenchResult, DeviceBench
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.normalise import (
    ORDER,
    TFLOPS_PER_PFLOPS,
    Capacity,
    NormalisedRate,
    capacity,
    normalised_rate,
)
from pearlstreet.compute.pool.inventory import Node

Benchmarks = Mapping[str, Mapping[str, object]]
"""Newest benchmark result of each node, by node name."""


def measured_by_model(nodes: Sequence[Node], benchmarks: Benchmarks) -> dict[str, dict[str, float]]:
    """Return measured TFLOPS by model and precision: the median over the nodes that have the model."""
    found: dict[str, dict[str, list[float]]] = {}
    for node in nodes:
        for device in _read(benchmarks, node):
            if device.index is not None:
                for precision, tflops in device.rates.items():
                    found.setdefault(device.model, {}).setdefault(precision, []).append(tflops)
    return {
        model: {precision: sorted(values)[len(values) // 2] for precision, values in rates.items()}
        for model, rates in found.items()
    }


def cpu_pflops(node: Node, benchmarks: Benchmarks) -> float | None:
    """Return the measured PFLOPS of a node's CPU; None if it was not measured.

    The first measured precision in the order of normalisation counts, else fp64.
    """
    rates = next((device.rates for device in _read(benchmarks, node) if device.index is None), {})
    found = next((rates[precision] for precision in (*ORDER, "fp64") if rates.get(precision)), None)
    return None if found is None else found / TFLOPS_PER_PFLOPS


def _read(benchmarks: Benchmarks, node: Node) -> tuple[DeviceBench, ...]:
    kept = benchmarks.get(node.report.name)
    if kept is None:
        return ()
    try:
        return BenchResult.from_json(json.dumps(kept)).devices
    except ValueError:
        return ()  # an older format, which counts as not measured


def rates_by_model(nodes: Sequence[Node], benchmarks: Benchmarks) -> dict[str, NormalisedRate]:
    """Return the normalised compute rate of one card, by model."""
    measured = measured_by_model(nodes, benchmarks)
    models = {device.model for node in nodes for device in node.report.devices}
    known = catalogue()
    return {model: normalised_rate(known.find(model), measured.get(model)) for model in models}


def pool_capacity(nodes: Sequence[Node], benchmarks: Benchmarks) -> Capacity:
    """Return the cards and PFLOPS of all present nodes together."""
    measured = measured_by_model(nodes, benchmarks)
    devices = [device for node in nodes if node.present for device in node.report.devices]
    return capacity(devices, lambda device: measured.get(device.model))
