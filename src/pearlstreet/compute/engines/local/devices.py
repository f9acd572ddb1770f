"""What each vendor's runtime needs to see its devices, and only those it was given. Pure but for device nodes' names.

Known from the vendors' manuals; of these only NVIDIA's names have been run on hardware by many, the rest are untested
here until somebody with such a machine has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.engines.protocol import DeviceGrant
from pearlstreet.compute.hardware.model import DeviceReport

VENDOR_STEP = 100
"""On a machine of two vendors the second's devices are numbered from here on: `index % VENDOR_STEP` is its own number."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's variable and device nodes; `{n}` is the device's own number."""

    variable: str
    none: str = ""
    """The value that shows no device."""
    own: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    by_uuid: tuple[str, ...] = ()
    """Prefixes of device ids the variable takes instead of numbers, which are safe against renumbering."""
    libraries: tuple[str, ...] = ()
    """Folders of the vendor's runtime outside /usr."""


_ROCM = Vendor(
    "HIP_VISIBLE_DEVICES", "-1", ("/dev/dri/renderD{render}",), ("/dev/kfd",), libraries=("/opt/rocm",)
)
VENDORS: Mapping[str, Vendor] = {
    "nvidia": Vendor(
        "CUDA_VISIBLE_DEVICES",
        own=("/dev/nvidia{n}",),
        shared=("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"),
        by_uuid=("GPU-", "MIG-"),
    ),
    "amd": _ROCM,
    "hygon": Vendor(
        "HIP_VISIBLE_DEVICES", "-1", _ROCM.own, (*_ROCM.shared, "/dev/mkfd"), libraries=("/opt/dtk",)
    ),
    "huawei": Vendor(
        "ASCEND_RT_VISIBLE_DEVICES",
        own=("/dev/davinci{n}",),
        shared=("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"),
    ),
    "cambricon": Vendor(
        "MLU_VISIBLE_DEVICES", own=("/dev/cambricon_dev{n}",), shared=("/dev/cambricon_ctl",)
    ),
    "moore threads": Vendor("MUSA_VISIBLE_DEVICES", own=("/dev/mtgpu.{n}", "/dev/dri/renderD{render}")),
    "intel": Vendor("ZE_AFFINITY_MASK", own=("/dev/dri/renderD{render}", "/dev/accel/accel{n}")),
    "kunlunxin": Vendor("XPU_VISIBLE_DEVICES", own=("/dev/xpu{n}",), shared=("/dev/xpuctrl",)),
    "enflame": Vendor("TOPS_VISIBLE_DEVICES", own=("/dev/gcu{n}",), shared=("/dev/gcuctl",)),
    "iluvatar corex": Vendor("CUDA_VISIBLE_DEVICES", own=("/dev/iluvatar{n}",)),
    "metax": Vendor("CUDA_VISIBLE_DEVICES", own=("/dev/dri/renderD{render}",), shared=("/dev/mxcd",)),
}
_ALWAYS = ("nvidia", "amd", "huawei")
"""Vendors whose variable is set even without a device: a program outside a sandbox must not find somebody else's."""


def variables(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> dict[str, str]:
    """The vendors' variables for a task that was given `grants` of `devices`."""
    found = {VENDORS[name].variable: VENDORS[name].none for name in _ALWAYS}
    given: dict[str, list[str]] = {}
    for device in _granted(grants, devices):
        vendor = VENDORS.get(device.vendor.lower())
        if vendor is not None:
            by_uuid = device.uuid.startswith(vendor.by_uuid) if vendor.by_uuid else False
            name = device.uuid if by_uuid else str(device.index % VENDOR_STEP)
            given.setdefault(vendor.variable, []).append(name)
    found |= {variable: ",".join(names) for variable, names in given.items()}
    found["PEARL_DEVICES"] = ",".join(str(grant.index) for grant in grants)
    return found


def nodes_of(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> list[str]:
    """Device nodes a task may open; not all need exist."""
    found: dict[str, None] = {}
    for device in _granted(grants, devices):
        vendor = VENDORS.get(device.vendor.lower())
        if vendor is not None:
            number = device.index % VENDOR_STEP
            names = [name.format(n=number, render=128 + number) for name in vendor.own]
            found |= dict.fromkeys((*names, *vendor.shared))
    return list(found)


def libraries_of(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> list[str]:
    """Folders of vendors' runtimes a task needs to read; not all need exist."""
    vendors = [VENDORS.get(device.vendor.lower()) for device in _granted(grants, devices)]
    return list(dict.fromkeys(path for vendor in vendors if vendor is not None for path in vendor.libraries))


def _granted(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> list[DeviceReport]:
    by_index = {device.index: device for device in devices}
    return [by_index[grant.index] for grant in grants if grant.index in by_index]
