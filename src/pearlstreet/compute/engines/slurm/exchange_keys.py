"""Settings of a cluster whose nodes share no folder with the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.cluster.exchange.service import ExchangeSettings
from pearlstreet.compute.engines.host import EngineHost

EXCHANGE_KEYS = ("exchange", "exchange_listen", "exchange_certificate", "exchange_key", "node_folder")
PORTS = {"https": 443, "http": 80}
MIRROR = "mirror"


def read_exchange(host: EngineHost, words: Mapping[str, str]) -> ExchangeSettings | None:
    """Return the settings of the exchange; None: the nodes share a folder. Raises ConfigurationError."""
    address = words["exchange"]
    if not address:
        return None
    if words["shared"]:
        raise ConfigurationError(
            text("[engines.{name}] has both keys shared and exchange; give one of them", name=host.name)
        )
    scheme, name, port = _parts(host, "exchange", address)
    if scheme not in PORTS:
        raise _wrong(host, "exchange", text("an address such as {example}", example="https://center:8470"))
    listen = words["exchange_listen"]
    _, own_host, own_port = _parts(host, "exchange_listen", f"tcp://{listen}") if listen else ("", name, port)
    own_port = own_port or PORTS[scheme]
    if not own_host or (listen and not own_port):
        raise _wrong(
            host, "exchange_listen", text("an address and a port, such as {example}", example="0.0.0.0:8470")
        )
    if scheme == "https" and not words["exchange_certificate"] and not listen:
        raise ConfigurationError(
            text("[engines.{name}] needs the key exchange_certificate for https", name=host.name),
            hint=text("Behind a proxy that does the encryption, give exchange_listen instead"),
        )
    for key in ("exchange_certificate", "exchange_key"):
        if words[key] and not Path(words[key]).is_file():
            raise _wrong(host, key, text("the path of a file"))
    folder = words["node_folder"] or "/var/tmp"  # noqa: S108  # each user makes a folder of its own there
    if not folder.startswith("/"):
        raise _wrong(host, "node_folder", text("an absolute path"))
    certificate, key = words["exchange_certificate"], words["exchange_key"]
    return ExchangeSettings(address, own_host, own_port, certificate, key, folder)


def make_mirror(folder: Path) -> Path:
    """Return the server's own folder that stands for a shared one. Raises OSError."""
    mirror = folder / MIRROR
    mirror.mkdir(mode=0o700, parents=True, exist_ok=True)
    return mirror


def _parts(host: EngineHost, key: str, address: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise _wrong(host, key, text("an address with a port")) from None


def _wrong(host: EngineHost, key: str, right: Text) -> ConfigurationError:
    return ConfigurationError(
        text("{key} in [engines.{name}] must be {right}", key=key, name=host.name, right=right)
    )
