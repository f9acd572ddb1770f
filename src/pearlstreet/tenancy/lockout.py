"""Growing delays after failed sign-ins, by user and by network address.

Each attempt is counted as a failure before the password is checked, and uncounted if the password is right. So parallel
guesses are counted too.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.tables import sign_in_failures as table

LONGEST_S = 900
"""Longest delay in seconds; also the longest time for which an attacker's guesses can lock a user out."""
FORGET_US = 24 * 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Rule:
    """Delay rule for one kind of subject: `free` failures cause no delay, further ones 1, 2, 4 … seconds."""

    kind: str
    free: int


BY_USER = Rule("user", 5)
BY_PEER = Rule("peer", 20)


def delay_s(failures: int, free: int) -> int:
    """Return the delay in seconds after this number of consecutive failures."""
    if failures < free:
        return 0
    return min(LONGEST_S, 1 << min(failures - free, 16))


def network(peer: str) -> str:
    """Return the key of an address: the IPv4 address, or the IPv6 /64, which is usually one customer's network."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def reserve(tx: Tx, name: str, peer: str) -> bool:
    """Count an attempt; returns True if its failure starts the user's first delay. Raises TooMany during a delay."""
    subjects = ((BY_USER, name), (BY_PEER, network(peer)))
    waits = [_wait_s(tx, rule, value) for rule, value in subjects]
    if max(waits) > 0:
        raise TooMany(
            text("Too many failed sign-ins; wait {seconds} s", seconds=max(waits)), retry_after_s=max(waits)
        )
    counted = [_count(tx, rule, value) for rule, value in subjects]
    return counted[0] == BY_USER.free


def forgive(tx: Tx, name: str, peer: str) -> None:
    """After a right password, clear the user's failures and take this attempt off the address's failures."""
    tx.execute(sa.delete(table).where(table.c.subject == _subject(BY_USER, name)))
    tx.execute(
        sa.update(table)
        .where(table.c.subject == _subject(BY_PEER, network(peer)), table.c.failures > 0)
        .values(failures=table.c.failures - 1, locked_until_us=0)
    )


def forget_old(tx: Tx) -> int:
    """Delete rows whose last failure is older than a day; returns their number."""
    return tx.execute(sa.delete(table).where(table.c.last_us <= tx.now_us - FORGET_US)).rowcount


def _wait_s(tx: Tx, rule: Rule, value: str) -> int:
    until = tx.scalar(sa.select(table.c.locked_until_us).where(table.c.subject == _subject(rule, value)))
    return max(0, -((tx.now_us - (until or 0)) // US_PER_S))


def _count(tx: Tx, rule: Rule, value: str) -> int:
    subject = _subject(rule, value)
    row = tx.first(sa.select(table).where(table.c.subject == subject))
    fresh = row is None or row["last_us"] <= tx.now_us - FORGET_US
    failures = 1 if row is None or fresh else row["failures"] + 1
    values = {
        "failures": failures,
        "last_us": tx.now_us,
        "locked_until_us": tx.now_us + delay_s(failures, rule.free) * US_PER_S,
    }
    if row is None:
        tx.execute(sa.insert(table).values(subject=subject, **values))
    else:
        tx.execute(sa.update(table).where(table.c.subject == subject).values(**values))
    return failures


def _subject(rule: Rule, value: str) -> str:
    return f"{rule.kind} {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()}"
