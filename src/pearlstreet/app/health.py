"""The table [health] of pearl.toml: rules by which nodes with failing devices are drained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text
from pearlstreet.compute.execution.health_loop import HealthSettings
from pearlstreet.compute.hardware.health_rules import RULES, HealthPolicy, HealthRule

KEYS: Mapping[str, str] = {
    "drains": "`true`: rules drain nodes; `false`: they only warn. Default true.",
    "quiet_s": "Seconds without new errors after which a node that rules drained is used again; 0: only after a passed burn-in. "
    "Default 3600.",
    "dcgm_url": "URL of dcgm-exporter on each node, with `{node}` for the node's name, such as `http://{node}:9400/metrics`. "
    "Left out: counters come from engines alone.",
    "org": "Organisation in which burn-ins of nodes run; they are not billed. Left out: there are none.",
    "rules": "A table of counters, each with `warn`, `drain` (increase, or `false`: never) and `window_h` (hours, 1 to 24).",
}
"""Keys of the table with their descriptions."""
FETCH_TIMEOUT_S = 5.0
FETCH_BYTES_MAX = 4 << 20


def health_from_settings(table: Mapping[str, object]) -> HealthSettings:
    """Return the rules that the table describes. Raises ConfigurationError naming the invalid key."""
    for key in table:
        if key not in KEYS:
            raise _wrong(key, text("It is no key of this table; keys are: {names}", names=", ".join(KEYS)))
    drains, url, org = table.get("drains", True), table.get("dcgm_url", ""), table.get("org", "")
    if not isinstance(drains, bool):
        raise _wrong("drains", text("It must be true or false"))
    if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
        raise _wrong("dcgm_url", text("It must be a URL that begins with http:// or https://"))
    if not isinstance(org, str):
        raise _wrong("org", text("It must be the name of an organisation"))
    quiet_s = _number("quiet_s", table.get("quiet_s", HealthPolicy().quiet_s), most=30 * 86_400)
    rules = table.get("rules", {})
    if not isinstance(rules, Mapping):
        raise _wrong("rules", text("It must be a table of counters"))
    known = {rule.counter: rule for rule in RULES}
    for counter, limits in rules.items():
        if counter not in known:
            raise _wrong(
                f"rules.{counter}",
                text("There is no such counter; counters: {names}", names=", ".join(known)),
            )
        known[counter] = _rule(known[counter], limits)
    return HealthSettings(HealthPolicy(drains, quiet_s, tuple(known.values())), url, org)


def _rule(rule: HealthRule, limits: object) -> HealthRule:
    place = f"rules.{rule.counter}"
    if not isinstance(limits, Mapping) or not set(limits) <= {"warn", "drain", "window_h"}:
        raise _wrong(place, text("It must be a table with warn, drain or window_h"))
    values: dict[str, Any] = {}
    for key in ("warn", "drain"):
        if key in limits:
            value = limits[key]
            values[key] = None if value is False else _number(f"{place}.{key}", value, least=1, most=1e12)
    if "window_h" in limits:
        values["window_h"] = int(_number(f"{place}.window_h", limits["window_h"], least=1, most=24))
    return replace(rule, **values)


def _number(key: str, value: object, *, least: float = 0.0, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _wrong(
            key, text("It must be a number from {least} to {most}", least=f"{least:g}", most=f"{most:.12g}")
        )
    return float(value)


def _wrong(key: str, problem: Text) -> ConfigurationError:
    return ConfigurationError(text("health.{key} in pearl.toml: {problem}", key=key[:80], problem=problem))


def fetch_metrics(url: str) -> str | None:
    """Return the text at a URL of the settings, up to `FETCH_BYTES_MAX`; None if it does not answer in time."""
    try:
        with httpx.stream("GET", url, timeout=FETCH_TIMEOUT_S, trust_env=False) as answer:
            if answer.status_code != httpx.codes.OK:
                return None
            found = bytearray()
            for chunk in answer.iter_bytes():
                found += chunk
                if len(found) > FETCH_BYTES_MAX:
                    return None
    except httpx.HTTPError:
        return None
    return found.decode(errors="replace")
