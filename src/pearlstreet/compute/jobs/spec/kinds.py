"""Kinds of plain values a field can hold: each reads, writes back and describes itself in JSON Schema."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Protocol

from pearlstreet.base.clock import from_rfc3339, to_rfc3339
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import parse_duration_s
from pearlstreet.compute.jobs.spec.context import Context, Where
from pearlstreet.compute.jobs.spec.suggest import in_gib, nearest

_BAD_IN_LINE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]"
)
"""Control, line-breaking, direction-changing and half characters: never in what is shown on one line."""
_BAD_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
"""In scripts and other text, tabs and line ends are fine."""
_TRUTH = {"yes": "true", "on": "true", "y": "true", "1": "true", "no": "false", "off": "false", "n": "false"}


_TEXT = text("text")


class ValueKind(Protocol):
    """How one kind of value is read, written and described."""

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """The value as the model keeps it, or BAD after a problem was noted."""
        ...

    def dump(self, value: Any) -> Any:
        """The value as JSON has it; `parse` reads it back."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) of what `parse` takes."""
        ...


def shown(value: Any) -> str:
    """A short, harmless rendering of a value for a message."""
    if isinstance(value, dict):
        return f"{{{len(value)}}}"
    if isinstance(value, list | tuple):
        return f"[{len(value)}]"
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "null"
    if isinstance(value, int) and value.bit_length() > 128:
        return "~1e" + str(value.bit_length() * 3 // 10)
    plain = ascii(value[:61]) if isinstance(value, str) else repr(value)[:61]
    return plain if len(plain) <= 60 else plain[:57] + "..."


def wrong_type(value: Any, where: Where, context: Context, wanted: Text, hint: Text | None = None) -> Any:
    """Note that `value` is of another type than `wanted`."""
    return context.add(where, text("{value} is not {wanted}", value=shown(value), wanted=wanted), hint)


@dataclass(frozen=True, slots=True)
class TextKind:
    """Characters, counted and cleaned. `pattern` must match all of it; `wanted` says in words what that means."""

    limit: int
    pattern: re.Pattern[str] | None = None
    wanted: Text = _TEXT
    lines: bool = False
    """Line ends and tabs are allowed, and nothing is normalised."""
    empty: bool = False
    numbers: bool = False
    """A number is taken as the text it was written as."""

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """The text; single lines in Unicode normal form C."""
        if not isinstance(value, str):
            if not self.numbers or not isinstance(value, int | float) or isinstance(value, bool):
                hint = text("Put it in quotes") if isinstance(value, bool | int | float) else None
                return wrong_type(value, where, context, self.wanted, hint)
            value = getattr(value, "raw", None) or repr(value)
        if len(value) > self.limit:
            return context.add(
                where,
                text(
                    "It is {length} characters long; at most {limit} are allowed",
                    length=f"{len(value):,}",
                    limit=f"{self.limit:,}",
                ),
            )
        bad = (_BAD_IN_TEXT if self.lines else _BAD_IN_LINE).search(value)
        if bad is not None:
            return self._bad_character(bad, where, context)
        if not self.lines and not value.isascii():
            value = unicodedata.normalize("NFC", value)
        if not value and not self.empty:
            return context.add(where, text("It is empty"))
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            return context.add(where, text("{value} is not {wanted}", value=shown(value), wanted=self.wanted))
        return value

    def _bad_character(self, found: re.Match[str], where: Where, context: Context) -> Any:
        return context.add(
            where,
            text(
                "The character U+{code} at position {position} is not allowed here",
                code=f"{ord(found.group()):04X}",
                position=found.start() + 1,
            ),
        )

    def dump(self, value: Any) -> Any:
        """As it is."""
        return value

    def schema(self) -> dict[str, Any]:
        """A string; a number too where one is taken."""
        made: dict[str, Any] = {"type": ["string", "number"] if self.numbers else "string"}
        made["maxLength"] = self.limit
        if not self.empty:
            made["minLength"] = 1
        if self.pattern is not None:
            made["pattern"] = f"^(?:{self.pattern.pattern})$"
        return made


@dataclass(frozen=True, slots=True)
class NumberKind:
    """A number from `low` to `high`, both allowed."""

    low: float
    high: float
    whole: bool = False
    gib: bool = False
    names: tuple[tuple[str, int], ...] = ()
    """Words that stand for numbers."""

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """int when `whole`, else float."""
        kind = type(value)
        if kind is bool or not isinstance(value, int | float):
            return self._not_a_number(value, where, context)
        if isinstance(value, float) and not (math.isfinite(value) and (not self.whole or value.is_integer())):
            return wrong_type(value, where, context, self._wanted())
        if not self.low <= value <= self.high:
            return context.add(
                where,
                text(
                    "{value} is out of range; it must be from {low} to {high}",
                    value=shown(value),
                    low=f"{self.low:,g}",
                    high=f"{self.high:,g}" if self.high < 1e6 else f"{self.high:,.0f}",
                ),
            )
        return int(value) if self.whole else float(value)

    def _wanted(self) -> Text:
        return text("a whole number") if self.whole else text("a number")

    def _not_a_number(self, value: Any, where: Where, context: Context) -> Any:
        hint: Text | None = None
        if isinstance(value, str) and len(value) <= 40:
            for name, number in self.names:
                if value.lower() == name:
                    return number
            close = nearest(value, [name for name, _ in self.names]) if self.names else None
            gib = in_gib(value) if self.gib else None
            if close is not None:
                hint = text("Did you mean {name}?", name=close)
            elif gib is not None:
                hint = text("Write {value}: the unit, GiB, is in the field's name", value=gib)
            elif re.fullmatch(r"\s*[+-]?\d+(\.\d+)?\s*", value):
                hint = text("Write {value} without quotes", value=value.strip())
        return wrong_type(value, where, context, self._wanted(), hint)

    def dump(self, value: Any) -> Any:
        """A float without fraction as a whole number."""
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def schema(self) -> dict[str, Any]:
        """Bounds included."""
        plain = {
            "type": "integer" if self.whole else "number",
            "minimum": self.dump(self.low),
            "maximum": self.dump(self.high),
        }
        if not self.names:
            return plain
        return {"anyOf": [plain, {"type": "string", "enum": [name for name, _ in self.names]}]}


@dataclass(frozen=True, slots=True)
class BoolKind:
    """true or false."""

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """A bool, never a word for one."""
        if isinstance(value, bool):
            return value
        meant = _TRUTH.get(str(value).lower()[:8])
        hint = text("Write {value}", value=meant) if meant else None
        return wrong_type(value, where, context, text("true or false"), hint)

    def dump(self, value: Any) -> Any:
        """As it is."""
        return value

    def schema(self) -> dict[str, Any]:
        """boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ChoiceKind:
    """One of a few words."""

    choices: tuple[str, ...]

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """The word, exactly as listed."""
        if isinstance(value, str) and value in self.choices:
            return value
        wanted = text("one of {choices}", choices=", ".join(self.choices))
        close = nearest(value, self.choices) if isinstance(value, str) else None
        return wrong_type(
            value, where, context, wanted, text("Did you mean {name}?", name=close) if close else None
        )

    def dump(self, value: Any) -> Any:
        """As it is."""
        return value

    def schema(self) -> dict[str, Any]:
        """enum."""
        return {"type": "string", "enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class DurationKind:
    """A length of time: seconds as a number, or `90s`, `30m`, `2h`, `1h30m`, `1d`. Kept in seconds."""

    low_s: float
    high_s: float

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """Seconds."""
        wanted = text("a length of time such as 90s, 30m, 2h or 1d")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or len(shown(value)) > 42:
            return wrong_type(value, where, context, wanted)
        try:
            seconds = float(parse_duration_s(value))
        except (ValueError, OverflowError):
            return wrong_type(value, where, context, wanted, _clock_hint(value))
        if not self.low_s <= seconds <= self.high_s:
            return context.add(
                where,
                text(
                    "{value} is out of range; it must be from {low} to {high}",
                    value=shown(value),
                    low=f"{self.low_s:,g} s",
                    high=f"{self.high_s:,.0f} s",
                ),
            )
        return seconds

    def dump(self, value: Any) -> Any:
        """Seconds as a number."""
        return int(value) if float(value).is_integer() else value

    def schema(self) -> dict[str, Any]:
        """A number of seconds, or text with units."""
        return {
            "anyOf": [
                {"type": "number", "minimum": self.low_s, "maximum": self.high_s},
                {
                    "type": "string",
                    "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|min|h|d|w)?\s*)+$",
                    "maxLength": 40,
                },
            ]
        }


def _clock_hint(value: Any) -> Text | None:
    """`1:30:00` → 1h30m0s; Slurm's `1-12:00:00` → 1d12h0m0s."""
    match = re.fullmatch(r"(?:(\d{1,3})-)?(\d{1,3}):(\d{2})(?::(\d{2}))?", str(value))
    if match is None:
        return None
    days, first, second, third = match.groups()
    if third is None and days is None:
        return text("Write {value}", value=f"{int(first)}h{int(second)}m")
    return text(
        "Write {value}",
        value=(f"{int(days)}d" if days else "") + f"{int(first)}h{int(second)}m{int(third or 0)}s",
    )


@dataclass(frozen=True, slots=True)
class TimeKind:
    """A moment in RFC 3339 with its time zone. Kept in microseconds since 1970 UTC."""

    def parse(self, value: Any, where: Where, context: Context) -> Any:
        """Microseconds since 1970 UTC."""
        wanted = text("a time such as 2026-01-31T08:00:00+08:00")
        if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper().replace(" ", "T"):
            return wrong_type(value, where, context, wanted)
        try:
            moment = from_rfc3339(value.strip().upper().replace("Z", "+00:00"))
        except ValueError:
            hint = text("End it with Z or an offset such as +08:00")
            return wrong_type(value, where, context, wanted, hint)
        if not 0 <= moment <= 253_402_300_799_999_999:
            return wrong_type(value, where, context, wanted)
        return moment

    def dump(self, value: Any) -> Any:
        """RFC 3339 in UTC."""
        return to_rfc3339(value)

    def schema(self) -> dict[str, Any]:
        """string, format date-time."""
        return {"type": "string", "format": "date-time"}
