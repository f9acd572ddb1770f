"""Registry of kinds of channels, and the channels that the settings name in `[notices.NAME]`.

Kinds that other packages bring are found as plugins of the group `pearlstreet.channels`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.errors import ConfigurationError, PearlError
from pearlstreet.base.plugins import Parts
from pearlstreet.base.text import Text, text
from pearlstreet.tenancy.notices.channel_protocol import ChannelHost, ChannelKind, NoticeChannel, Options
from pearlstreet.tenancy.notices.deliveries import WEBHOOK
from pearlstreet.tenancy.notices.kinds import Channel
from pearlstreet.tenancy.notices.mail import KEYS, SmtpMailer, mail_from_settings

NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")
OURS = (*(channel.value for channel in Channel), WEBHOOK)
"""Names of channels that every center has."""


def _make_email(host: ChannelHost, options: Options) -> NoticeChannel:
    mail = mail_from_settings(options, None, table=f"notices.{host.name}")
    if mail is None:
        raise ConfigurationError(text("[notices.{name}] names no mail server", name=host.name))
    return SmtpMailer(mail, host.center, host.url)


CHANNEL_KINDS: Mapping[str, ChannelKind] = Parts(
    "pearlstreet.channels",
    {"email": ChannelKind("email", text("Sends notices by a further mail server"), _make_email, KEYS)},
)
"""Kinds of channels by name, those of plugins among them."""


@dataclass(frozen=True, slots=True)
class NamedChannels:
    """Channels of the settings by name, and a sentence for each that was skipped."""

    channels: Mapping[str, NoticeChannel] = field(default_factory=dict)
    problems: tuple[Text, ...] = ()


def channels_from_settings(tables: Mapping[str, object], *, center: str, url: str) -> NamedChannels:
    """Return the channels of the tables `[notices.NAME]`. Raises ConfigurationError for a table that is wrong.

    A channel whose plugin fails otherwise is skipped and named, so that the center starts.
    """
    found: dict[str, NoticeChannel] = {}
    problems: list[Text] = []
    for name, table in tables.items():
        kind, options = _read(name, table)
        try:
            found[name] = kind.make(ChannelHost(name, center, url), options)
        except PearlError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a package of others raises, the center starts
            problem = f"{type(error).__name__}: {error}"[:300]
            problems.append(
                text("The channel {name} of notices is skipped: {problem}", name=name, problem=problem)
            )
    return NamedChannels(found, tuple(problems))


def _read(name: str, table: object) -> tuple[ChannelKind, Options]:
    if NAME.fullmatch(name) is None or name in OURS:
        raise ConfigurationError(
            text("{name} cannot be the name of a channel of notices", name=repr(name[:60])),
            hint=text(
                "Use at most 16 small letters, digits and hyphens, a letter first, and none of {names}",
                names=", ".join(OURS),
            ),
        )
    if not isinstance(table, Mapping) or not isinstance(table.get("kind", name), str):
        raise ConfigurationError(
            text("[notices.{name}] must be a table with a kind", name=name),
            hint=text("Write for example {example}", example='kind = "email"'),
        )
    kind = CHANNEL_KINDS.get(str(table.get("kind", name)))
    if kind is None:
        raise ConfigurationError(
            text("There is no channel of notices of the kind {kind}", kind=repr(table.get("kind", name))),
            hint=text("Known kinds: {names}", names=", ".join(CHANNEL_KINDS)),
        )
    options = {str(key): value for key, value in table.items() if key != "kind"}
    for key in options:
        if key not in kind.options:
            raise ConfigurationError(
                text("[notices.{name}] has no key {key}", name=name, key=key[:60]),
                hint=text("Its keys are: {keys}", keys=", ".join(("kind", *kind.options))),
            )
    return kind, options
