"""The simulated engine dressed up as one that runs code: it leaves outputs, and can be told to misbehave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pearlstreet.base.outcome import Done, Outcome, Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    Observation,
    OutputFile,
)
from pearlstreet.compute.engines.simulated import SimulatedEngine


class Working:
    """Wraps an engine; what is not here is the wrapped one's."""

    def __init__(self, inner: SimulatedEngine) -> None:
        self.inner = inner
        self.files: dict[str, bytes] = {}
        self.unreadable: set[str] = set()
        self.listing: Outcome[Sequence[OutputFile]] | None = None
        self.orders: list[AttemptOrder] = []
        self.distort: Callable[[AttemptReport], AttemptReport] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities(), runs_code=True)

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        self.orders.append(order)
        if order.purpose != "job":
            order = replace(order, simulate_s=3)
        return self._told(self.inner.start(order))

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        return self._told(self.inner.probe(attempt_id))

    def observe(self, cursor: str) -> Outcome[Observation]:
        answer = self.inner.observe("" if self.distort is not None else cursor)
        if self.distort is None or not isinstance(answer, Done):
            return answer
        return Done(replace(answer.value, reports=[self.distort(report) for report in answer.value.reports]))

    def _told(self, answer: Any) -> Any:
        if self.distort is None or not isinstance(answer, Done) or answer.value is None:
            return answer
        return Done(self.distort(answer.value))

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        if self.listing is not None:
            return self.listing
        return Done([OutputFile(path, len(data)) for path, data in sorted(self.files.items())])

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        if path in self.unreadable:
            return Refused("no_such_output", text("There is no output file {path}", path=path))
        return Done(self.files[path][offset : offset + limit])
