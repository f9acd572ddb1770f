"""Kinds of plain values of a field: each parses values, writes them back and gives their JSON Schema."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Protocol

from pearlstreet.base.clock import from_rfc3339, to_rfc3339
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import parse_duration_s
from pearlstreet.workload.spec.context import Bad, Context, Where
from pearlstreet.workload.spec.suggest import in_gib, nearest

_BAD_IN_LINE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]"
)
"""Characters refused in single-line text: control, line-breaking and bidirectional characters, and surrogates."""
_BAD_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
"""Characters refused in multi-line text, where tabs and line ends are allowed."""
_TRUTH = {"yes": "true", "on": "true", "y": "true", "1": "true", "no": "false", "off": "false", "n": "false"}


_TEXT = text("text")


JsonSchema = dict[str, object]
"""A JSON Schema (draft 2020-12) as a plain object."""


class ValueKind(Protocol):
    """Parser, writer and JSON Schema of one kind of value."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the value as the model stores it, or BAD after recording a problem."""
        ...

    def dump(self, value: object) -> object:
        """Return the value in JSON, which `parse` reads."""
        ...

    def schema(self) -> JsonSchema:
        """Return the JSON Schema (draft 2020-12) of the values that `parse` accepts."""
        ...


def shown(value: object) -> str:
    """Return a short, printable form of a value for a message."""
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


def wrong_type(value: object, where: Where, context: Context, wanted: Text, hint: Text | None = None) -> Bad:
    """Record that `value` is not of the type `wanted`, and return BAD."""
    return context.add(where, text("{value} is not {wanted}", value=shown(value), wanted=wanted), hint)


@dataclass(frozen=True, slots=True)
class TextKind:
    """Text with a maximum length. `pattern` must match all of it; `wanted` describes the pattern in words."""

    limit: int
    pattern: re.Pattern[str] | None = None
    wanted: Text = _TEXT
    lines: bool = False
    """Whether line ends and tabs are allowed; then the text is not normalised."""
    empty: bool = False
    numbers: bool = False
    """Whether a number is accepted, as the text in which it was written."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the text, in Unicode normal form C if it is a single line."""
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

    def _bad_character(self, found: re.Match[str], where: Where, context: Context) -> Bad:
        return context.add(
            where,
            text(
                "The character U+{code} at position {position} is not allowed here",
                code=f"{ord(found.group()):04X}",
                position=found.start() + 1,
            ),
        )

    def dump(self, value: object) -> object:
        """Return the text unchanged."""
        return value

    def schema(self) -> JsonSchema:
        """Return the JSON schema of a string, or of a string or number if numbers are accepted."""
        made: JsonSchema = {"type": ["string", "number"] if self.numbers else "string"}
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
    """Words accepted in place of numbers, with their values."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return an int if `whole`, else a float."""
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

    def _not_a_number(self, value: object, where: Where, context: Context) -> Bad | int:
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

    def dump(self, value: object) -> object:
        """Return the number, without a fraction of zero."""
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def schema(self) -> JsonSchema:
        """Return the schema with inclusive bounds."""
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
    """A boolean: true or false."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return a bool; words such as yes are refused."""
        if isinstance(value, bool):
            return value
        meant = _TRUTH.get(str(value).lower()[:8])
        hint = text("Write {value}", value=meant) if meant else None
        return wrong_type(value, where, context, text("true or false"), hint)

    def dump(self, value: object) -> object:
        """Return the bool unchanged."""
        return value

    def schema(self) -> JsonSchema:
        """Return a boolean schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ChoiceKind:
    """One of a fixed set of words."""

    choices: tuple[str, ...]

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the word, which must be spelled exactly as listed."""
        if isinstance(value, str) and value in self.choices:
            return value
        wanted = text("one of {choices}", choices=", ".join(self.choices))
        close = nearest(value, self.choices) if isinstance(value, str) else None
        return wrong_type(
            value, where, context, wanted, text("Did you mean {name}?", name=close) if close else None
        )

    def dump(self, value: object) -> object:
        """Return the word unchanged."""
        return value

    def schema(self) -> JsonSchema:
        """Return an enum schema."""
        return {"type": "string", "enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class DurationKind:
    """A duration: seconds as a number, or text such as `90s`, `30m`, `2h`, `1h30m`, `1d`; stored in seconds."""

    low_s: float
    high_s: float

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the duration in seconds."""
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
        """Return the seconds as a number."""
        return int(value) if float(value).is_integer() else value

    def schema(self) -> JsonSchema:
        """Return the schema of a number of seconds or a text with units."""
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


def _clock_hint(value: object) -> Text | None:
    """Return a hint for clock notation: 1h30m0s for `1:30:00`, 1d12h0m0s for Slurm's `1-12:00:00`."""
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
    """A time in RFC 3339 with a time zone; stored in microseconds since 1970 UTC."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the time in microseconds since 1970 UTC."""
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
        """Return the time in RFC 3339, in UTC."""
        return to_rfc3339(value)

    def schema(self) -> JsonSchema:
        """Return a string schema with format date-time."""
        return {"type": "string", "format": "date-time"}
