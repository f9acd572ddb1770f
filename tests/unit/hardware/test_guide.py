"""The guide tells the truth about which vendors can be read."""

from __future__ import annotations

import re
from pathlib import Path

from pearlstreet.compute.hardware.probes.registry import PROBES

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_the_guide_lists_every_probe_as_it_is() -> None:
    rows = {
        (vendor.strip(), tool.strip().replace("`", "")): state.strip()
        for vendor, tool, _, state in ROW.findall(
            (ROOT / "docs/guides/hardware.md").read_text(encoding="utf-8")
        )
        if vendor.strip() not in {"Vendor", "---"}
    }
    expected = {
        (probe.vendor, probe.tool or "PCI bus only"): (
            "untested on hardware" if probe.untested_on_hardware else "tested on hardware"
        )
        for probe in PROBES
    }
    assert rows == expected
