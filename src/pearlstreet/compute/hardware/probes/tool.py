"""The common case: run a vendor's tool and read what it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.access import CommandResult, HostAccess
from pearlstreet.compute.hardware.probes.protocol import COMMAND_TIMEOUT_S, PciRule, Seen, Sighting, report

_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class ToolProbe:
    """A vendor whose devices one command describes."""

    vendor: str
    tool: str
    command: tuple[str, ...]
    read: Callable[[str], Sequence[Seen]]
    """Pure: the tool's output to devices; nothing for output that it does not understand."""
    pci: PciRule
    facts: Callable[[str], Mapping[str, str]] = field(default=lambda output: {})
    untested_on_hardware: bool = True

    def detect(self, access: HostAccess) -> Sighting:
        result = access.run(self.command, timeout_s=COMMAND_TIMEOUT_S)
        if result.status != "ok":
            return failed(self.tool, result)
        return sighting(
            self.vendor, self.tool, self.read(result.stdout), result, self.facts, self.untested_on_hardware
        )


def sighting(
    vendor: str,
    tool: str,
    seen: Sequence[Seen],
    result: CommandResult,
    facts: Callable[[str], Mapping[str, str]] = lambda output: {},
    untested: bool = True,
) -> Sighting:
    """Return the sighting for devices read from `result`; a problem where something was printed but nothing understood."""
    if not seen:
        return Sighting(
            problem=text(
                "{tool} printed nothing that can be read as a device: {output}",
                tool=tool,
                output=_short(result.stdout) or "-",
            )
        )
    devices = tuple(report(device, vendor, untested=untested) for device in seen)
    return Sighting(devices, facts(result.stdout))


def failed(tool: str, result: CommandResult) -> Sighting:
    """Return the result of a probe whose command failed."""
    if result.status == "missing":
        return Sighting(tool_missing=True)
    return Sighting(problem=_complaint(tool, result))


def _complaint(tool: str, result: CommandResult) -> Text:
    if result.status == "timeout":
        return text("{tool} gave no answer within {seconds} s", tool=tool, seconds=round(COMMAND_TIMEOUT_S))
    said = _short(result.stderr or result.stdout)
    return text(
        "{tool} failed with exit code {code}: {output}", tool=tool, code=result.code, output=said or "-"
    )


def _short(output: str) -> str:
    return " ".join(output.split())[:_SHOWN_CHARACTERS]
