"""A machine made of recorded files and tool outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pearlstreet.compute.hardware.access import CommandResult, HostAmounts

T = TypeVar("T")
GIB = 1 << 30


class FakeHost:
    """`outputs`: program (or whole command line) → output or result; `files`: path → content."""

    def __init__(
        self,
        outputs: Mapping[str, str | CommandResult] | None = None,
        files: Mapping[str, str] | None = None,
        nvml: Any = None,
        hanging: frozenset[str] = frozenset(),
        disk_free_bytes: int = 100 * GIB,
    ) -> None:
        self._outputs = dict(outputs or {})
        self._files = dict(files or {})
        self._nvml = nvml
        self._hanging = hanging
        self._disk_free_bytes = disk_free_bytes

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult:
        found = self._outputs.get(" ".join(command), self._outputs.get(command[0]))
        if found is None:
            return CommandResult("missing")
        return found if isinstance(found, CommandResult) else CommandResult("ok", stdout=found, code=0)

    def read_text(self, path: str) -> str | None:
        return self._files.get(path)

    def list_folder(self, path: str) -> tuple[str, ...]:
        prefix = path.rstrip("/") + "/"
        return tuple(
            sorted({name[len(prefix) :].split("/")[0] for name in self._files if name.startswith(prefix)})
        )

    def read_in_each(self, folder: str, file: str) -> Mapping[str, str]:
        paths = {name: f"{folder}/{name}/{file}" for name in self.list_folder(folder)}
        return {name: self._files[path] for name, path in paths.items() if path in self._files}

    def amounts(self) -> HostAmounts:
        return HostAmounts("node-1", 16.0, 64 * GIB, self._disk_free_bytes, 200 * GIB)

    def nvml(self) -> Any:
        return self._nvml

    def guarded(self, name: str, work: Callable[[], T], *, timeout_s: float) -> T | None:
        return None if name.split()[0] in self._hanging else work()


def pci_card(address: str, vendor: str, device: str, kind: str) -> dict[str, str]:
    """The files of one PCI function under /sys."""
    root = f"/sys/bus/pci/devices/{address}"
    return {f"{root}/vendor": vendor + "\n", f"{root}/device": device + "\n", f"{root}/class": kind + "\n"}
