"""Environment variables and device nodes that show a task its devices and no others, for each vendor. Pure.

The names come from the vendors' manuals. Only NVIDIA's are widely used; the others have not been tested on hardware.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pearlstreet.compute.engines.local.folders import DRIVER_INSIDE
from pearlstreet.compute.engines.protocol import DeviceGrant
from pearlstreet.compute.hardware.model import DeviceReport

VENDOR_STEP = 100
"""Offset of device indices per vendor on a machine with several: `index % VENDOR_STEP` is the vendor's own number."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's environment variable and device nodes; `{n}` stands for the vendor's number of a device."""

    variable: str
    none: str = ""
    """Value of the variable that hides all devices."""
    own: tuple[str, ...] = ()
    """Device nodes of one device."""
    shared: tuple[str, ...] = ()
    """Device nodes that all devices of the vendor share."""
    by_uuid: tuple[str, ...] = ()
    """Prefixes of device ids that the variable accepts instead of numbers; ids survive a renumbering of devices."""
    libraries: tuple[str, ...] = ()
    """Folders of the vendor's runtime outside /usr."""
    driver: tuple[str, ...] = ()
    """Patterns of the driver's libraries and programs that belong to the host's kernel and not into container images."""


_ROCM = Vendor(
    "HIP_VISIBLE_DEVICES", "-1", ("/dev/dri/renderD{render}",), ("/dev/kfd",), libraries=("/opt/rocm",)
)
VENDORS: Mapping[str, Vendor] = {
    "nvidia": Vendor(
        "CUDA_VISIBLE_DEVICES",
        own=("/dev/nvidia{n}",),
        shared=("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"),
        by_uuid=("GPU-", "MIG-"),
        driver=(
            "/usr/lib/*-linux-gnu/libcuda.so*",
            "/usr/lib/*-linux-gnu/libnvidia-*.so*",
            "/usr/lib64/libcuda.so*",
            "/usr/lib64/libnvidia-*.so*",
            "/usr/bin/nvidia-smi",
        ),
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
"""Vendors whose variable is set even for a task without devices, so that a task outside a sandbox sees no device."""


def variables(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> dict[str, str]:
    """Return the vendors' environment variables for a task that has `grants` of `devices`."""
    values = {VENDORS[name].variable: VENDORS[name].none for name in _ALWAYS}
    given: dict[str, list[str]] = {}
    for device in _granted(grants, devices):
        vendor = VENDORS.get(device.vendor.lower())
        if vendor is not None:
            by_uuid = device.uuid.startswith(vendor.by_uuid) if vendor.by_uuid else False
            name = device.uuid if by_uuid else str(device.index % VENDOR_STEP)
            given.setdefault(vendor.variable, []).append(name)
    values |= {variable: ",".join(names) for variable, names in given.items()}
    values["PEARL_DEVICES"] = ",".join(str(grant.index) for grant in grants)
    return values


def nodes_of(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> list[str]:
    """Return the device nodes that a task may open; some may not exist."""
    paths: dict[str, None] = {}
    for device in _granted(grants, devices):
        vendor = VENDORS.get(device.vendor.lower())
        if vendor is not None:
            number = device.index % VENDOR_STEP
            names = [name.format(n=number, render=128 + number) for name in vendor.own]
            paths |= dict.fromkeys((*names, *device.device_nodes.split(), *vendor.shared))
    return list(paths)


def libraries_of(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> list[str]:
    """Return the folders of vendors' runtimes that a task must be able to read; some may not exist."""
    vendors = [VENDORS.get(device.vendor.lower()) for device in _granted(grants, devices)]
    return list(dict.fromkeys(path for vendor in vendors if vendor is not None for path in vendor.libraries))


def driver_files(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> dict[str, str]:
    """Return the paths of drivers' files in the sandbox of a container image → on this host. Untested on hardware."""
    found: dict[str, str] = {}
    for device in _granted(grants, devices):
        vendor = VENDORS.get(device.vendor.lower())
        for pattern in vendor.driver if vendor is not None else ():
            for path in sorted(glob.glob(pattern)):  # noqa: PTH207
                folder = "bin" if "/bin/" in path else "lib"
                found[f"{DRIVER_INSIDE}/{folder}/{os.path.basename(path)}"] = os.path.realpath(path)  # noqa: PTH119
    return found


def _granted(grants: Sequence[DeviceGrant], devices: Sequence[DeviceReport]) -> list[DeviceReport]:
    by_index = {device.index: device for device in devices}
    return [by_index[grant.index] for grant in grants if grant.index in by_index]
