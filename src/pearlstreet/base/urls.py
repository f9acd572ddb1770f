"""SSRF guard: resolve once, check every address, pin the connection to it. Pure: the caller passes the resolver.

Before the control plane requests a URL that a tenant chose, it calls `check_outgoing` and connects only to the
addresses that this returns, without resolving again. Each redirect is checked in the same way.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text

URL_MAX = 2048
ADDRESSES_MAX = 16
DEFAULT_PORTS = {"https": 443, "http": 80}
ALLOWED_PORTS = frozenset({443, 8443})

_SHAPE = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]{0,31})://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$")
_LABEL = re.compile(r"^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$")
_SCP = re.compile(r"^(?:[\w.-]+@)?([\w-]+(?:\.[\w-]+)+):(?!//)([\w./~-]+)$")
_PRIVATE_NAMES = (
    "localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "arpa",
    "test", "invalid", "example", "onion", "svc", "ip6-localhost", "ip6-loopback",
)  # fmt: skip
"""Top-level labels that never name a public host (RFC 6761, RFC 6762, RFC 8375 and common use)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_BLOCKED = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's platform address: public number, host-local service
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments, RFC 6890; Oracle's metadata service
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    ipaddress.ip_network("::/96"),  # IPv4-compatible, deprecated
    ipaddress.ip_network("64:ff9b:1::/48"),  # local NAT64, RFC 8215
    ipaddress.ip_network("100::/64"),  # discard, RFC 6666
    ipaddress.ip_network(
        "2001::/23"
    ),  # protocol assignments, RFC 2928; Teredo carries an address of the sender's
    ipaddress.ip_network("3fff::/20"),  # documentation, RFC 9637
    ipaddress.ip_network("5f00::/16"),  # segment routing, RFC 9602
    ipaddress.ip_network("fec0::/10"),  # site-local, deprecated
)
# `is_global` covers some of these networks, but which ones differs between Python versions.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str], Sequence[str]]
"""A function that returns the network addresses of a host name. May raise OSError."""


@dataclass(frozen=True, slots=True)
class ParsedUrl:
    """A URL whose syntax has been checked; its host has not been resolved."""

    scheme: str
    host: str
    """Host in lower-case ASCII; an IPv6 address has no brackets."""
    port: int
    target: str
    """Path and query."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if DEFAULT_PORTS.get(self.scheme) == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that may be requested, and the only network addresses to connect to for it."""

    url: ParsedUrl
    addresses: tuple[str, ...]

    @property
    def host(self) -> str:
        """Host for the Host header and the check of the certificate."""
        return self.url.host

    @property
    def port(self) -> int:
        """TCP port to connect to."""
        return self.url.port


def check_outgoing(
    url: str,
    resolve: Resolve,
    *,
    field: str = "url",
    schemes: Collection[str] = ("https",),
    ports: Collection[int] = ALLOWED_PORTS,
    allow_private: bool = False,
    own: Collection[str] = (),
) -> CheckedUrl:
    """Return the URL with its pinned network addresses. Raises InvalidInput naming `field`.

    `allow_private`: the operator allows private networks (never link-local, where metadata services are).
    `own`: addresses of this center, refused unless `allow_private`.
    """
    parsed = parse_outgoing(url, field=field, schemes=schemes, ports=ports, allow_private=allow_private)
    literal = _as_address(parsed.host)
    if literal is not None:
        hosts: Sequence[str] = (parsed.host,)
    else:
        try:
            hosts = tuple(resolve(parsed.host))
        except OSError:
            hosts = ()
    if not hosts:
        raise _invalid(field, text("The host {host} cannot be found", host=parsed.host))
    for host in hosts:
        address = _as_address(host)
        if address is None or not address_allowed(address, private=allow_private):
            raise _invalid(field, _inner(parsed.host))
        if not allow_private and any(address == _as_address(own_host) for own_host in own):
            raise _invalid(field, _inner(parsed.host))
    return CheckedUrl(parsed, tuple(str(_as_address(host)) for host in hosts[:ADDRESSES_MAX]))


def parse_outgoing(
    url: str,
    *,
    field: str = "url",
    schemes: Collection[str] = ("https",),
    ports: Collection[int] = ALLOWED_PORTS,
    allow_private: bool = False,
) -> ParsedUrl:
    """Return the parts of a URL after checking its syntax, without resolving its host. Raises InvalidInput."""
    if len(url) > URL_MAX:
        raise _invalid(field, text("The address is longer than {limit} characters", limit=URL_MAX))
    if any(character <= " " or character in '\\"<>^`{|}\x7f' for character in url):
        raise _invalid(
            field, text("The address contains a space, a control character or one of {bad}", bad='\\"<>^`{|}')
        )
    match = _SHAPE.match(url)
    if match is None:
        raise _invalid(field, text("{url} is not a full address", url=url[:200]), _scp_hint(url))
    scheme, authority, path, query, _ = match.groups()
    scheme = scheme.lower()
    if scheme not in schemes:
        wanted = " or ".join(sorted(schemes))
        raise _invalid(
            field, text("Only {wanted} addresses are allowed, not {scheme}", wanted=wanted, scheme=scheme)
        )
    if "@" in authority or "%" in authority:
        raise _invalid(
            field,
            text("The address carries a user name, a password or an encoded host"),
            text("Keep credentials in a stored secret"),
        )
    target = (path or "/") + (query or "")
    if not target.isascii():
        raise _invalid(field, text("Encode characters beyond ASCII in the path of the address as %XX"))
    host, port = _split_port(authority, DEFAULT_PORTS.get(scheme, 0), field)
    if port not in ports and not allow_private and port != DEFAULT_PORTS.get(scheme):
        allowed = ", ".join(map(str, sorted(ports)))
        raise _invalid(
            field, text("Port {port} is not allowed; allowed are {ports}", port=port, ports=allowed)
        )
    return ParsedUrl(scheme, _clean_host(host, field, private=allow_private), port, target)


def _split_port(authority: str, default: int, field: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^:\[\]]*)(?::([0-9]{1,5}))?", authority)
    if match is None or not match.group(1):
        raise _invalid(field, text("{host} is not a host with an optional port", host=authority[:200]))
    port = int(match.group(2) or default)
    if not 0 < port < 65_536:
        raise _invalid(field, text("{port} is not a port", port=port))
    return match.group(1), port


def _clean_host(host: str, field: str, *, private: bool) -> str:
    if host.startswith("["):
        address = _as_address(host[1:-1])
        if address is None:
            raise _invalid(field, text("{host} is not a host", host=host))
    else:
        name = _ascii_name(host, field)
        address = _as_address(name)
        if address is None:
            return _check_name(name, field, private=private)
    if not address_allowed(address, private=private):
        raise _invalid(field, _inner(str(address)))
    return str(address)


def _ascii_name(host: str, field: str) -> str:
    folded = unicodedata.normalize("NFKC", host).lower()
    try:
        name = folded.encode("idna").decode("ascii") if not folded.isascii() else folded
    except UnicodeError:
        raise _invalid(field, text("{host} is not a host", host=ascii(host[:200]))) from None
    return name.removesuffix(".")


def _check_name(name: str, field: str, *, private: bool) -> str:
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.match(label) for label in labels):
        raise _invalid(field, text("{host} is not a host", host=ascii(name[:200])))
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise _invalid(
            field, text("{host} is a number in disguise; write a name or a plain address", host=name)
        )
    if not private and (len(labels) == 1 or labels[-1] in _PRIVATE_NAMES):
        raise _invalid(field, _inner(name))
    return name


def _as_address(value: str) -> Address | None:
    try:
        return ipaddress.ip_address(value) if "%" not in value else None
    except ValueError:
        return None


def address_allowed(address: Address, *, private: bool = False) -> bool:
    """Return whether a network address is public or, with `private`, belongs to a private network."""
    inside = _embedded(address)
    if inside is not None:
        return address_allowed(inside, private=private)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address.version == net.version and address in net for net in _BLOCKED):
        return private and address.is_loopback
    if private:
        return address.is_private or address.is_global
    return address.is_global and not address.is_reserved


def _embedded(address: Address) -> Address | None:
    """Return the IPv4 address that an IPv6 address embeds (mapped, 6to4 or NAT64), or None."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None


def _inner(host: str) -> Text:
    return text("{host} is an address of an inner network; only public hosts may be called", host=host)


def _scp_hint(url: str) -> Text | None:
    match = _SCP.match(url)
    if match is None:
        return text("Write it like https://host/path")
    return text("Write {url}", url=f"https://{match.group(1)}/{match.group(2)}")


def _invalid(field: str, message: Text, hint: Text | None = None) -> InvalidInput:
    return InvalidInput(message, hint=hint, problems=[Problem(field, message, hint=hint)])
