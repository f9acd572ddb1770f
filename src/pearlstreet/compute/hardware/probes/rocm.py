"""The JSON of rocm-smi, which Hygon's hy-smi shares, and of amd-smi: pure readers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pearlstreet.base.units import GIB
from pearlstreet.compute.hardware.health import Signs
from pearlstreet.compute.hardware.probes.protocol import Seen
from pearlstreet.compute.hardware.probes.reading import amount_gib, json_in, number

_CARD = re.compile(r"^card(\d+)$", re.IGNORECASE)
_NAMES = ("card series", "device name", "card model", "card sku")


def read_rocm_smi(output: str) -> list[Seen]:
    """Return devices in `rocm-smi --json` (or `hy-smi --json`), whose keys differ by version."""
    value = json_in(output)
    cards = value if isinstance(value, Mapping) else {}
    return [
        _card(int(match[1]), {str(name).lower(): str(item) for name, item in fields.items()})
        for card, fields in cards.items()
        if (match := _CARD.match(str(card))) and isinstance(fields, Mapping)
    ]


def _card(index: int, fields: Mapping[str, str]) -> Seen:
    total = _memory(fields, "vram total memory", "available memory size")
    used = _memory(fields, "vram total used memory", "vram used memory")
    share = number(_value(fields, "memory use (%)", "memory allocated (vram%)"))
    if used is None and total and share is not None:
        used = total * share / 100
    named = [fields[name] for name in _NAMES if fields.get(name) and not fields[name].startswith("0x")]
    return Seen(
        index=index,
        name=named[0] if named else "unknown",
        memory_gib=total or 0.0,
        uuid=_value(fields, "unique id", "serial number"),
        memory_used_gib=used,
        temperature_c=number(_value(fields, "(sensor junction)", "(sensor edge)")),
        utilization_percent=number(_value(fields, "gpu use (%)", "dcu use (%)", "hcu use (%)")),
        power_w=number(
            _value(fields, "current socket graphics package power", "average graphics package power")
        ),
        signs=Signs(memory_temperature_c=number(_value(fields, "(sensor memory)", "(sensor mem)"))),
    )


def _value(fields: Mapping[str, str], *parts: str) -> str:
    """Return the value of the first key that contains one of `parts`, in the order of `parts`."""
    return next((value for part in parts for name, value in fields.items() if part in name), "")


def _memory(fields: Mapping[str, str], *parts: str) -> float | None:
    for part in parts:
        for name, value in fields.items():
            if part in name:
                amount = number(value)
                return None if amount is None else amount / (1024 if "mib" in name else GIB)
    return None


def read_amd_smi(static: str, metric: str) -> list[Seen]:
    """Return devices in `amd-smi static --json` and `amd-smi metric --json`."""
    measured = {_index(item): item for item in _list(metric)}
    return [_amd(_index(item), item, measured.get(_index(item), {})) for item in _list(static)]


def _amd(index: int, static: Mapping[str, object], metric: Mapping[str, object]) -> Seen:
    return Seen(
        index=index,
        name=str(_at(static, "asic", "market_name") or "unknown"),
        uuid=str(_at(static, "asic", "asic_serial") or ""),
        memory_gib=amount_gib(_quantity(_at(static, "vram", "size"))) or 0.0,
        memory_used_gib=amount_gib(_quantity(_at(metric, "mem_usage", "used_vram"))),
        temperature_c=number(_quantity(_at(metric, "temperature", "hotspot"))),
        utilization_percent=number(_quantity(_at(metric, "usage", "gfx_activity"))),
        power_w=number(_quantity(_at(metric, "power", "socket_power"))),
        signs=Signs(
            memory_temperature_c=number(_quantity(_at(metric, "temperature", "mem"))),
            uncorrected_errors=int(number(_at(metric, "ecc", "total_uncorrectable_count")) or 0),
        ),
    )


def _list(output: str) -> list[Mapping[str, object]]:
    value = json_in(output)
    if isinstance(value, Mapping):
        value = value.get("gpu_data")
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _index(item: Mapping[str, object]) -> int:
    return int(number(item.get("gpu")) or 0)


def _at(value: object, *path: str) -> object:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _quantity(value: object) -> str | None:
    if isinstance(value, Mapping):
        return f"{value.get('value')} {value.get('unit', '')}"
    return None if value is None else str(value)
