"""Comparing names of accelerators: probes, users and datasheets all spell them their own way."""

from __future__ import annotations

import re

from pearlstreet.compute.hardware.catalogue.accelerator import Accelerator

ANY = frozenset({"any", "*"})
"""Names in a job for any accelerator."""

_BRANDS: dict[str, tuple[str, ...]] = {
    "NVIDIA": ("nvidia", "tesla", "geforce", "rtx", "geforcertx", "nvidiageforcertx", "nvidiartx"),
    "AMD": ("amd", "instinct", "amdinstinct", "radeon"),
    "Intel": ("intel",),
    "Huawei": ("ascend", "huawei", "huaweiascend"),
    "Cambricon": ("cambricon",),
    "Hygon": ("hygon", "dcu", "hygondcu"),
    "Kunlunxin": ("kunlun", "kunlunxin"),
    "Iluvatar CoreX": ("iluvatar",),
    "MetaX": ("metax", "mx"),
    "Moore Threads": ("mtt", "moorethreads"),
    "Enflame": ("enflame",),
    "Biren": ("biren",),
    "Alibaba T-Head": ("thead", "alibaba"),
}
_SIZE = re.compile(r"(\d)\s*(?:gib|gb|g)\b")
_FORM = re.compile(r"\d+$")


def key(name: str) -> str:
    """Return the form in which names are compared: `"NVIDIA H100-80 GB"` and `"nvidia h100 80g"` give the same."""
    lowered = _SIZE.sub(r"\1g", name.strip().lower())
    return "".join(letter for letter in lowered if letter.isalnum() or letter == "*")


def exact_keys(entry: Accelerator) -> frozenset[str]:
    """Return keys that mean this entry and no other."""
    return frozenset(key(name) for name in (entry.id, entry.name, *entry.aliases))


def group_keys(entry: Accelerator) -> frozenset[str]:
    """Return keys that this entry answers to together with others: `h100`, `h10080g`, `nvidiah100sxm`."""
    form = key(entry.form_factor)
    forms = {"", form, _FORM.sub("", form)}
    sizes = (
        {""} if entry.memory_gib is None else {"", f"{entry.device_memory_gib:g}g", f"{entry.memory_gib:g}g"}
    )
    brands = ("", *_BRANDS.get(entry.vendor, (key(entry.vendor),)))
    family = key(entry.family)
    return frozenset(
        brand + family + middle + end
        for brand in brands
        for middle_form in forms
        for size in sizes
        for middle, end in ((middle_form, size), (size, middle_form))
    )
