"""Questions that the tests of estimates ask."""

from __future__ import annotations

from typing import Any

from pearlstreet.compute.estimate import building
from pearlstreet.compute.estimate.model import Partial, Serving, Training
from pearlstreet.compute.hardware.catalogue import catalogue


def training(
    name: str = "Llama 3.1 8B",
    accelerator: str = "A100-80G",
    count: int = 8,
    *,
    per_node: int | None = None,
    layout: Partial = Partial(),  # noqa: B008  a frozen value
    **more: Any,
) -> Training:
    """A training run of a published model."""
    wanted: dict[str, Any] = {"tokens": 1e9, "sequence": 4096, "batch_tokens": 4096 * 64.0} | more
    return building.training(
        building.Model(name),
        building.Machines(accelerator, count, per_node),
        catalogue(),
        layout=layout,
        **wanted,
    )


def serving(
    name: str = "Llama 3.1 8B", accelerator: str = "H100-80G", count: int = 1, **more: Any
) -> Serving:
    """A published model that answers."""
    return building.serving(building.Model(name), building.Machines(accelerator, count), catalogue(), **more)
