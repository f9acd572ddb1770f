"""Reads error counters of devices from the Prometheus text of NVIDIA's dcgm-exporter. Pure; what is missing stays missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pearlstreet.compute.hardware.health_rules import THROTTLED, XID
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport

_LINE = re.compile(
    r'^(DCGM_FI_[A-Z0-9_]+)\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\}\s+([-+0-9.eEnaifNIF]+)', re.MULTILINE
)
_LABEL = re.compile(r'([A-Za-z_]+)="((?:[^"\\]|\\.)*)"')
LINES_MAX = 20_000
HARMFUL_THROTTLE = 0x8 | 0x20 | 0x40 | 0x80
"""Clock event reasons that mean trouble: hardware slowdown, thermal slowdowns, power brake; idle and power cap do not."""
COUNTERS: Mapping[str, str] = {
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": "ecc_corrected",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": "ecc_uncorrected",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": "pcie_replays",
    "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL": "link_errors",
    "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL": "link_errors",
    "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL": "link_errors",
    "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL": "link_errors",
}
"""Metric of dcgm-exporter → our counter; metrics of one counter are added."""
_XID = "DCGM_FI_DEV_XID_ERRORS"
_THROTTLE = ("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS")


def read_counters(exposition: str) -> dict[str, dict[str, float]]:
    """Return counters by device; a device is named by its UUID and by `gpu` number, as far as the labels give them."""
    found: dict[str, dict[str, float]] = {}
    for number, match in enumerate(_LINE.finditer(exposition)):
        if number >= LINES_MAX:
            break
        labels, value = dict(_LABEL.findall(match[2])), _number(match[3])
        if value is None or labels.get("GPU_I_ID"):
            continue  # figures of a MIG instance repeat those of its device
        for key in {labels.get("UUID", ""), labels.get("gpu", "")} - {""}:
            _add(found.setdefault(key, {}), match[1], value)
    return found


def _add(counters: dict[str, float], metric: str, value: float) -> None:
    if metric in COUNTERS:
        name = COUNTERS[metric]
        counters[name] = counters.get(name, 0.0) + value
    elif metric == _XID and value > 0:
        counters[f"{XID}{value:.0f}"] = 1.0
    elif metric in _THROTTLE:
        counters[THROTTLED] = float(bool(int(value) & HARMFUL_THROTTLE))


def _number(written: str) -> float | None:
    try:
        value = float(written)
    except ValueError:
        return None
    return value if 0 <= value < 1e18 else None


def with_dcgm(report: NodeReport, counters: Mapping[str, Mapping[str, float]]) -> NodeReport:
    """Return the report whose devices also have the counters of dcgm-exporter; of a counter that both have, the larger."""

    def merged(device: DeviceReport) -> DeviceReport:
        more = counters.get(device.uuid) or counters.get(str(device.index)) or {}
        values = dict(device.counters)
        for name, value in more.items():
            values[name] = max(value, values.get(name, 0.0))
        return replace(device, counters=values)

    return replace(report, devices=tuple(merged(device) for device in report.devices))
