"""Every probe, in the order in which devices of mixed machines are numbered."""

from __future__ import annotations

from pearlstreet.base.plugins import Parts
from pearlstreet.compute.hardware.probes import (
    amd,
    ascend,
    cambricon,
    enflame,
    hygon,
    iluvatar,
    intel,
    kunlunxin,
    metax,
    moore_threads,
    presence,
)
from pearlstreet.compute.hardware.probes.nvidia import NvidiaProbe
from pearlstreet.compute.hardware.probes.protocol import Probe

PROBES: tuple[Probe, ...] = (
    NvidiaProbe(),
    ascend.PROBE,
    amd.PROBE,
    cambricon.PROBE,
    hygon.PROBE,
    metax.PROBE,
    moore_threads.PROBE,
    iluvatar.PROBE,
    kunlunxin.PROBE,
    enflame.PROBE,
    intel.XPU_SMI,
    intel.HL_SMI,
    presence.T_HEAD,
    presence.GRAPHCORE,
    presence.GROQ,
    presence.TENSTORRENT,
)
_PLUGINS: Parts[Probe] = Parts("pearlstreet.probes", {})


def all_probes() -> tuple[Probe, ...]:
    """Return our probes, then those of plugins by name."""
    return (*PROBES, *_PLUGINS.values())
