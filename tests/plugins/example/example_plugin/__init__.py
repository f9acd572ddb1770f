"""Parts of a center from a package of its own."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from pearlstreet.base.plugins import Plugin
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.host import EngineHost
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.engines.registry import EngineKind, engine_kind
from pearlstreet.compute.hardware.access import HostAccess
from pearlstreet.compute.hardware.probes.protocol import PciRule, Seen, Sighting, report
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.order.protocol import Keys, Still
from pearlstreet.compute.scheduling.topology_cache import PlannerCache
from pearlstreet.ledger.model import Unit
from pearlstreet.ledger.rules import Slice
from pearlstreet.tenancy.notices.channel_protocol import (
    ChannelHost,
    ChannelKind,
    NoticeChannel,
    Options,
    Sent,
)
from pearlstreet.tenancy.notices.deliveries import Event
from pearlstreet.tenancy.notices.kinds import words_of


class LastCome(Still):
    """Ranks the newest job first."""

    def keys(self, snapshot: Snapshot, config: PlannerConfig, cache: PlannerCache) -> Keys:
        return Keys((-snapshot.waiting.submitted_us,), (-snapshot.running.submitted_us,))


class CardDay:
    """Prices cards by the day."""

    name = "card_day"
    unit = Unit.CARD_BP

    @property
    def label(self) -> Text:
        return text("card·d")

    def quantity(self, used: Slice) -> Fraction:
        return Fraction(used.quantity, 10_000 * 86_400 * 1_000_000)


class Abacus:
    """Finds one device wherever it looks, and says so."""

    vendor, tool, untested_on_hardware, pci = "Example", "", True, PciRule(frozenset({"0xffff"}))

    def detect(self, access: HostAccess) -> Sighting:
        return Sighting(devices=(report(Seen(0, "Abacus 13"), self.vendor, untested=True),))


def make_toy(host: EngineHost, options: Options) -> Engine:
    """Return an engine of one simulated node, under the name of its table."""
    return engine_kind("simulated").make(host, {"cluster": f"{options.get('nodes', 1)}x1xT4"})


class Notebook:
    """Writes notices as lines of JSON into a file, as a messenger would send them."""

    def __init__(self, file: Path, prefix: str) -> None:
        self._file, self._prefix = file, prefix

    def send(self, event: Event, address: str, language: str) -> Sent:
        words = words_of(event.kind, event.payload, language)
        line = {"id": event.id, "to": address, "title": f"{self._prefix}: {words.title}"}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return Sent(True)


def make_notebook(host: ChannelHost, options: Options) -> NoticeChannel:
    """Return a notebook; the file must be named."""
    return Notebook(Path(str(options["file"])), host.center)


LAST_COME = Plugin(version=2, part=LastCome())
OF_TOMORROW = Plugin(version=3, part=LastCome())
CARD_DAY = Plugin(version=1, part=CardDay())
ABACUS = Plugin(version=1, part=Abacus())
TOY = Plugin(
    version=1, part=EngineKind("toy", text("A toy"), make_toy, {"nodes": "Number of nodes; default 1."})
)
NOTEBOOK = Plugin(
    version=1,
    part=ChannelKind("notebook", text("A file"), make_notebook, {"file": "File to write to; required."}),
)
