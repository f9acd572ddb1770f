"""The guide tells the truth about which vendors can be read, and every message has its Chinese."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pearlstreet.base.text import catalogue as translations
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


def test_every_message_has_its_chinese_with_the_same_parameters() -> None:
    known = translations("zh-CN")
    for path in (ROOT / "src/pearlstreet/compute/hardware").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "text" and node.args:
                template = ast.literal_eval(node.args[0])
                assert template in known, f"{path.name}: {template!r} is missing from zh_CN/hardware.toml"
                assert sorted(re.findall(r"{\w+}", template)) == sorted(re.findall(r"{\w+}", known[template]))
