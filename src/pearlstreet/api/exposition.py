"""The Prometheus text: metrics of this process, and gauges of the center at the time of the scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pearlstreet.services.nodes import CenterGauges


class _Now(Collector):
    """Gauges of the center, computed only for a scrape."""

    def __init__(self, counts: CenterGauges) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("pearl_jobs", "Jobs that have not ended", labels=["state"])
        for state, count in self._counts.jobs.items():
            jobs.add_metric([state], count)
        nodes = GaugeMetricFamily("pearl_nodes", "Nodes by their worst state", labels=["state"])
        for state, count in self._counts.nodes.items():
            nodes.add_metric([state], count)
        cards = GaugeMetricFamily(
            "pearl_cards", "Accelerators, with shares counted as fractions", labels=["model", "state"]
        )
        for (model, state), share in self._counts.cards.items():
            cards.add_metric([model, state], share)
        oldest = "Time since the longest waiting job was submitted"
        yield from (jobs, nodes, cards)
        yield GaugeMetricFamily("pearl_oldest_queued_seconds", oldest, value=self._counts.waited_s)


def exposition(counts: CenterGauges) -> bytes:
    """Return the Prometheus text."""
    now = CollectorRegistry()
    now.register(_Now(counts))
    return generate_latest() + generate_latest(now)
