"""Everything Prometheus is told: what this process counted, and the center's counts at this moment."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pearlstreet.compute.jobs.census import Census


class _Now(Collector):
    """Gauges that are looked up when asked for: nobody pays for them while nobody scrapes."""

    def __init__(self, counts: Census) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("pearl_jobs", "Jobs that have not ended", labels=["state"])
        for state, count in self._counts.jobs.items():
            jobs.add_metric([state], count)
        nodes = GaugeMetricFamily("pearl_nodes", "Machines by the worst that holds of each", labels=["state"])
        for state, count in self._counts.nodes.items():
            nodes.add_metric([state], count)
        cards = GaugeMetricFamily(
            "pearl_cards", "Accelerators, parts counted as parts", labels=["model", "state"]
        )
        for (model, state), share in self._counts.cards.items():
            cards.add_metric([model, state], share)
        oldest = "Time since the longest waiting job was submitted"
        yield from (jobs, nodes, cards)
        yield GaugeMetricFamily("pearl_oldest_queued_seconds", oldest, value=self._counts.waited_s)


def exposition(counts: Census) -> bytes:
    """The text a scrape gets."""
    now = CollectorRegistry()
    now.register(_Now(counts))
    return generate_latest() + generate_latest(now)
