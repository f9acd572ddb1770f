"""MIG instances: names of their models, and their figures as parts of the whole device. Pure. Unproven on hardware."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pearlstreet.compute.hardware.catalogue.accelerator import Accelerator

COMPUTE_SLICES = 7
"""Compute slices of a device that can be divided, the same for all of NVIDIA's so far (MIG user guide)."""
_PROFILE = re.compile(r"(?:^|[-_.: ])(\d+)g\.(\d+)gb\b", re.IGNORECASE)
_MODEL = re.compile(r"(.+)-mig-(\d+)g\.(\d+)gb")


@dataclass(frozen=True, slots=True)
class MigProfile:
    """Compute slices and memory of a MIG instance, as in its name `3g.20gb`."""

    slices: int
    memory_gib: int

    def __str__(self) -> str:
        return f"{self.slices}g.{self.memory_gib}gb"


def find_profile(name: str) -> tuple[str, MigProfile] | None:
    """Return what stands before the profile in a name (`a100` of `a100_3g.20gb`), and the profile; None without one."""
    match = _PROFILE.search(name)
    if match is None:
        return None
    before = re.sub(r"[-_.: ]*\bmig$", "", name[: match.start()], flags=re.IGNORECASE)
    return before, MigProfile(int(match[1]), int(match[2]))


def mig_model(parent: str, profile: MigProfile) -> str:
    """Return the model of an instance: that of its device, and the profile."""
    return f"{parent}-mig-{profile}"


def split_model(model: str) -> tuple[str, MigProfile] | None:
    """Return the model of the whole device and the profile of an instance's model; None for other models."""
    match = _MODEL.fullmatch(model)
    return None if match is None else (match[1], MigProfile(int(match[2]), int(match[3])))


def is_mig(model: str) -> bool:
    """Return whether a model is an instance, which only requests that say `mig` may get."""
    return _MODEL.fullmatch(model) is not None


def instance_of(whole: Accelerator, profile: MigProfile) -> Accelerator:
    """Return the entry of an instance: compute and power by its slices, bandwidth by its memory, no link to others."""
    compute = min(1.0, profile.slices / COMPUTE_SLICES)
    memory = min(1.0, profile.memory_gib / whole.memory_gib) if whole.memory_gib else compute
    return replace(
        whole,
        id=mig_model(whole.id, profile),
        family=f"mig-{profile}",
        name=f"{whole.name} MIG {profile}",
        aliases=(),
        form_factor="",
        peak_tflops={precision: peak * compute for precision, peak in whole.peak_tflops.items()},
        memory_gib=float(profile.memory_gib),
        bandwidth_gbs=None if whole.bandwidth_gbs is None else whole.bandwidth_gbs * memory,
        link="",
        link_gbs=None,
        power_w=None if whole.power_w is None else whole.power_w * compute,
        dies=1,
    )
