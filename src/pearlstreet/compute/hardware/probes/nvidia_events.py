"""Counts NVIDIA's Xid errors by device and code, from events of NVML that are waited for with no delay at each probe."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

XID_CRITICAL = 0x8
"""nvmlEventTypeXidCriticalError."""
EVENTS_MAX = 1_000
"""Events read in one probe; more stay for the next."""


class XidEvents:
    """Counts since this process first probed. NVML counts its users, so the events outlive the shutdown of each probe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._module: Any = None
        self._events: Any = None
        self._seen: dict[int, Counter[int]] = {}

    def counts(self, module: Any, index: int) -> Mapping[int, int]:
        """Return the number of events of a device by Xid code; empty where NVML has no events."""
        with self._lock:
            if self._module is not module:
                self._module, self._events, self._seen = module, _register(module), {}
            if self._events is not None:
                self._read(module)
            return dict(self._seen.get(index, {}))

    def _read(self, module: Any) -> None:
        for _ in range(EVENTS_MAX):
            try:
                event = module.nvmlEventSetWait_v2(self._events, 0)
                index = module.nvmlDeviceGetIndex(event.device)
            except module.NVMLError:  # a timeout: no further event
                return
            self._seen.setdefault(int(index), Counter())[int(event.eventData)] += 1


def _register(module: Any) -> Any:
    """Return a set of events to which every device reports its Xid errors; None where that is not possible."""
    if not hasattr(module, "nvmlEventSetCreate") or not hasattr(module, "nvmlEventSetWait_v2"):
        return None
    try:
        module.nvmlInit()
        events = module.nvmlEventSetCreate()
        for index in range(module.nvmlDeviceGetCount()):
            module.nvmlDeviceRegisterEvents(module.nvmlDeviceGetHandleByIndex(index), XID_CRITICAL, events)
    except module.NVMLError:
        return None
    return events


XIDS = XidEvents()
"""Events of this process."""
