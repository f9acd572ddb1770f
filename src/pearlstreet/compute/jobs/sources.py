"""Builds the command that fetches a git source: without redirects, hooks or LFS, pinned to the checked addresses.

Only https is allowed; http too if the operator allows internal hosts.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from pathlib import Path

from pearlstreet.base.urls import Resolve, check_outgoing
from pearlstreet.workload.spec.model import GitSource


def resolve(host: str) -> list[str]:
    """Return the addresses of a host from the system's resolver; empty if it finds none."""
    try:
        return sorted({str(item[4][0]) for item in socket.getaddrinfo(host, 443, proto=socket.IPPROTO_TCP)})
    except OSError:
        return []


def fetch_command(
    source: GitSource, target: Path, *, private: bool, resolve: Resolve = resolve
) -> Sequence[str]:
    """Return a shell command that puts the requested folder of the requested commit into `target`.

    git gets the URL in the spelling that was checked: with another one, such as a trailing dot after the host, the pin would not
    match and git would resolve the name itself. Raises InvalidInput for an address that is not allowed (private, or not https).
    """
    schemes = ("https", "http") if private else ("https",)
    checked = check_outgoing(source.url, resolve, field="git.url", schemes=schemes, allow_private=private)
    pin = f"{checked.host}:{checked.port}:{','.join(checked.addresses)}"
    options = {
        "http.curloptResolve": pin,
        "http.followRedirects": "false",
        "protocol.allow": "never",
        **{f"protocol.{scheme}.allow": "always" for scheme in schemes},
        "core.hooksPath": "/dev/null",
        "core.symlinks": "false",
        "credential.helper": "",
    }
    git = "git " + " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
    url, ref, folder = (shlex.quote(part) for part in (str(checked.url), source.ref, source.path))
    script = (
        "set -eu; command -v git >/dev/null || { echo 'git is not installed on this node' >&2; exit 69; }; "
        "export GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1; "
        f"{git} init -q repository; cd repository; "
        f"{git} fetch -q --depth 1 --no-tags {url} {ref}; {git} checkout -q FETCH_HEAD; {git} rev-parse HEAD; "
        f"rm -rf .git; cp -R -- {folder}/. {shlex.quote(str(target))}/"
    )
    return ("/bin/sh", "-c", script)
