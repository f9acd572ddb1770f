"""Normalised compute of a card of each model, from the catalogue; unknown cards count like the weakest known one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.hardware.normalise import normalised_rate
from pearlstreet.compute.scheduling.rows import NodeRow


def rates_of(nodes: Iterable[NodeRow]) -> Mapping[str, float]:
    """Return model → normalised PFLOPS, for the models of these nodes."""
    book = catalogue()
    models = {device.model for node in nodes for device in node.devices}
    known = {model: normalised_rate(book.find(model)).pflops for model in sorted(models)}
    least = min((rate for rate in known.values() if rate > 0), default=1.0)
    return {model: float(rate or least) for model, rate in known.items()}
