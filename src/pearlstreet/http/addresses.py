"""Rate-limit keys of client addresses, and the proxies whose X-Forwarded-For header is trusted."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=16_384)
def address_key(host: str) -> bytes:
    """Return the rate-limit key of a client: its IPv4 address, or the /64 network of its IPv6 address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.encode()[:64]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return address.packed[:8]
    return (getattr(address, "ipv4_mapped", None) or address).packed


class TrustedProxies:
    """The proxies in front of a server; their connections carry many clients."""

    def __init__(self, networks: str = "") -> None:
        """`networks`: addresses and networks, separated by commas; empty: no proxy."""
        parts = [part.strip() for part in networks.split(",") if part.strip()]
        self._networks = [ipaddress.ip_network(part) for part in parts]

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)
