"""Chooses how an engine reaches Slurm: by slurmrestd, or by Slurm's commands here or on another machine."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.compute.engines.host import EngineHost
from pearlstreet.compute.engines.slurm.commands import LISTING_BYTES, CommandTransport
from pearlstreet.compute.engines.slurm.rest import RestTransport, key_reader
from pearlstreet.compute.engines.slurm.transport import Transport
from pearlstreet.compute.hardware.access import LocalHost
from pearlstreet.compute.hardware.ssh_host import SshHost, SshTarget

TRANSPORT_KEYS = (
    "transport",
    "rest",
    "jwt_key",
    "api_user",
    "slurm_conf",
    "ssh",
    "ssh_key",
    "ssh_known_hosts",
)
_TARGET = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<address>[A-Za-z0-9_][A-Za-z0-9_.:-]*?)(?::(?P<port>\d{1,5}))?"
)
Words = Mapping[str, str]


def make_transport(host: EngineHost, words: Words) -> Transport:
    """Return the transport that the settings name. Raises ConfigurationError."""
    name = words["transport"] or "rest"
    make = TRANSPORTS.get(name)
    if make is None:
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must be one of {values}",
                key="transport",
                name=host.name,
                values=", ".join(TRANSPORTS),
            )
        )
    return make(host, words)


def need_keys(host: EngineHost, words: Words, *keys: str) -> None:
    """Raise ConfigurationError unless each of the keys is set."""
    for key in keys:
        if not words[key]:
            raise ConfigurationError(
                text("[engines.{name}] needs the key {key}", name=host.name, key=key),
                hint=text("docs/guides/slurm.md explains the keys of such an engine"),
            )


def _by_rest(host: EngineHost, words: Words) -> Transport:
    need_keys(host, words, "rest", "jwt_key")
    # it logs every request, of which there are two a second
    logging.getLogger("httpx").setLevel(logging.WARNING)
    read_key, api_user = key_reader(Path(words["jwt_key"])), words["api_user"] or "root"
    return RestTransport(words["rest"], read_key, api_user=api_user, clock=host.clock)


def _by_commands(host: EngineHost, words: Words) -> Transport:
    local = LocalHost(output_bytes=LISTING_BYTES)
    if not words["ssh"]:
        return CommandTransport(local, conf=words["slurm_conf"])
    target = _TARGET.fullmatch(words["ssh"])
    if target is None:
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must look like {example}",
                key="ssh",
                name=host.name,
                example="root@controller:22",
            )
        )
    machine = SshTarget(
        target["address"],
        target["user"] or "",
        int(target["port"]) if target["port"] else None,
        words["ssh_key"],
        words["ssh_known_hosts"],
    )
    return CommandTransport(SshHost(machine, local), conf=words["slurm_conf"])


TRANSPORTS: Mapping[str, Callable[[EngineHost, Words], Transport]] = {
    "rest": _by_rest,
    "command": _by_commands,
}
