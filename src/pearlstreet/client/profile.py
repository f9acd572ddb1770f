"""Which center the CLI and `Client()` talk to, and as whom: PEARL_URL / PEARL_KEY / PEARL_ORG, then the saved profile.

The profile file holds keys: it is made readable by its owner only.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pearlstreet.base.errors import PearlError
from pearlstreet.base.text import text

DEFAULT_URL = "http://127.0.0.1:7420"


class NotSignedIn(PearlError):
    """There is no key to send."""

    code, status = "unauthenticated", 401


@dataclass(frozen=True, slots=True)
class Profile:
    """One center and one key."""

    url: str = DEFAULT_URL
    key: str | None = None
    org: str | None = None
    ca: str | None = None
    """File of the certificate authority that signed the center's certificate; else the system's."""


def signed_in() -> Profile:
    """Return the profile in use. Raises NotSignedIn where it has no key."""
    used = active()
    if not used.key:
        raise NotSignedIn(
            text("You are not signed in to {url}", url=used.url),
            hint=text("pearl login --url URL, or set PEARL_KEY"),
        )
    return used


def config_file() -> Path:
    """Return where profiles are kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(os.environ.get("PEARL_CONFIG") or Path(base) / "pearlstreet" / "profiles.toml")


def active() -> Profile:
    """Return the profile in use: each value from its variable, else from the file.

    Raises PearlError when the file is damaged.
    """
    saved = read_profiles()
    name = os.environ.get("PEARL_PROFILE") or saved.get("current", {}).get("name", "default")
    kept = saved.get("profile", {}).get(name, {})
    return Profile(
        url=os.environ.get("PEARL_URL") or kept.get("url") or DEFAULT_URL,
        key=os.environ.get("PEARL_KEY") or kept.get("key"),
        org=os.environ.get("PEARL_ORG") or kept.get("org"),
        ca=os.environ.get("PEARL_CA") or kept.get("ca"),
    )


def read_profiles() -> dict[str, Any]:
    """Return the profile file. Raises PearlError when it is damaged."""
    file = config_file()
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PearlError(
            text("{file} is damaged: {problem}", file=str(file), problem=str(error)),
            hint=text("Delete it and sign in again: pearl login"),
        ) from None


def save_profile(name: str, profile: Profile) -> Path:
    """Keep a profile and make it the one in use."""
    values = (("url", profile.url), ("key", profile.key), ("org", profile.org), ("ca", profile.ca))
    kept = read_profiles().get("profile", {}) | {name: {key: value for key, value in values if value}}
    return _write(name, kept)


def forget_profile(name: str | None) -> tuple[Path, bool]:
    """Delete a profile's key (default: the profile in use); return the file and whether there was a key."""
    saved = read_profiles()
    current = str(saved.get("current", {}).get("name", "default"))
    chosen = name or os.environ.get("PEARL_PROFILE") or current
    kept: dict[str, dict[str, str]] = saved.get("profile", {})
    if "key" not in kept.get(chosen, {}):
        return config_file(), False
    without = {key: value for key, value in kept[chosen].items() if key != "key"}
    return _write(current, kept | {chosen: without}), True


def forget_org() -> None:
    """Drop the organisation of the profile in use, so that the person's default one counts."""
    saved = read_profiles()
    current = str(saved.get("current", {}).get("name", "default"))
    chosen = os.environ.get("PEARL_PROFILE") or current
    kept: dict[str, dict[str, str]] = saved.get("profile", {})
    if "org" in kept.get(chosen, {}):
        without = {key: value for key, value in kept[chosen].items() if key != "org"}
        _write(current, kept | {chosen: without})


def _write(current: str, profiles: Mapping[str, Mapping[str, str]]) -> Path:
    lines = ["[current]", f"name = {json.dumps(current)}"]
    for label, values in profiles.items():
        lines += ["", f"[profile.{json.dumps(label)}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    file = config_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    temporary.replace(file)
    return file
