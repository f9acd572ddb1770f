"""Channels of notices beside the inbox: what one does, and how a kind of channel is made from its table of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pearlstreet.base.text import Text
from pearlstreet.tenancy.notices.deliveries import Event

Options = Mapping[str, object]
"""The channel's table in the settings, without `kind`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Result of sending a notice. With `final` a retry would fail too."""

    ok: bool
    problem: Text | None = None
    final: bool = False


class NoticeChannel(Protocol):
    """Sender of notices to receivers that are known by their e-mail address."""

    def send(self, event: Event, address: str, language: str) -> Sent:
        """Send one notice, of which `words_of(event.kind, event.payload, language)` has the words; return the result.

        A failure that may pass is no exception: the notice is sent again with growing pauses. It may arrive twice, with the
        same `event.id`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChannelHost:
    """The center, as a channel sees it."""

    name: str
    """Name of the channel in this center: that of its table in the settings."""
    center: str
    """Name of the center."""
    url: str = ""
    """URL of the center; empty: not known."""


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """One kind of channel: its name in the settings, what it is, and how one is made."""

    name: str
    summary: Text
    make: Callable[[ChannelHost, Options], NoticeChannel]
    """Function that returns a channel; it raises ConfigurationError for options that it cannot use."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Keys of its table in the settings beside `kind`, with what each means."""
