"""PURE: container images of jobs: their names, the registries that a center allows, and the command that fetches one.

The fetch runs inside the sandbox under the tenant: `skopeo` copies the image, `umoci` unpacks it; neither runs code of the image.
The result folder holds `root/`, the image's file system, `config.json`, its configuration (OCI image specification 1.0), and `name`, with its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pearlstreet.base.errors import ConfigurationError, InvalidInput
from pearlstreet.base.text import Text, text

DOCKER_HUB = "docker.io"
ROOT, CONFIG, NAME = "root", "config.json", "name"
LOGIN = "PEARL_REGISTRY_LOGIN"
"""Variable of a fetch that holds `user:password` for the registry."""
LOGIN_LINE = re.compile(r"[^:\x00-\x20]+:[^\x00-\x1f]+")
TOOLS = ("skopeo", "umoci")
"""Programs that a fetch needs on its node."""
MOUNT_FILES = ("etc/hosts", "etc/resolv.conf")
"""Files that an unpacked image always has, so that a sandbox can put others in their place."""
MOUNT_FOLDERS = ("etc", "var", "var/tmp")
"""Folders that an unpacked image always has, none of them a link."""
NOT_TAKEN = frozenset({"HOME", "HOSTNAME", "LOGNAME", "PWD", "TMPDIR", "USER"})
"""Variables of an image that jobs do not get: the sandbox sets its own."""

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[0-9]{1,5})?")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXAMPLE = "docker.io/library/debian:12"
_ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
"""Architecture as Linux names it → as images do."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """The name of an image in full."""

    registry: str
    """Host of the registry, with its port if that is not the usual one."""
    repository: str
    tag: str
    """Tag; empty for an image named by its digest."""
    digest: str = ""
    """`sha256:…` of its manifest; empty: what the tag stands for."""

    def __str__(self) -> str:
        return f"{self.place}@{self.digest}" if self.digest else f"{self.place}:{self.tag}"

    @property
    def place(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"


def parse_image(value: str) -> ImageName:
    """Return the image that a name stands for; without a registry it is Docker Hub's. Raises InvalidInput."""
    place, at, digest = value.partition("@")
    head, slash, rest = place.partition("/")
    has_registry = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, path = (head, rest) if has_registry else (DOCKER_HUB, place)
    repository, colon, tag = path.partition(":")
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    is_good = (
        _HOST.fullmatch(registry) is not None
        and all(_PART.fullmatch(part) for part in repository.split("/"))
        and (not colon or _TAG.fullmatch(tag) is not None)
        and (not at or _DIGEST.fullmatch(digest) is not None)
    )
    if not is_good:
        raise InvalidInput(
            text("{name} is no name of a container image", name=ascii(value[:120])),
            hint=text("Write registry/repository:tag, such as {example}", example=_EXAMPLE),
        )
    return ImageName(registry, repository, "" if digest else tag or "latest", digest)


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry, or a part of one, whose images jobs may use."""

    host: str
    prefix: str = ""
    """First parts of the repositories that are allowed; empty: all."""
    is_encrypted: bool = True
    """Whether it is reached by HTTPS; a registry inside the center may speak HTTP."""

    def __str__(self) -> str:
        return f"{'' if self.is_encrypted else 'http://'}{self.host}{'/' if self.prefix else ''}{self.prefix}"

    def has(self, name: ImageName) -> bool:
        """Return whether an image belongs to it."""
        return name.registry == self.host and f"{name.repository}/".startswith(
            f"{self.prefix}/" if self.prefix else ""
        )


def parse_registries(value: str) -> tuple[Registry, ...]:
    """Return the registries of a setting, which separates them by commas. Raises ConfigurationError."""
    return tuple(_registry(part.strip()) for part in value.split(",") if part.strip())


def _registry(entry: str) -> Registry:
    plain = entry.removeprefix("http://").removeprefix("https://").rstrip("/")
    host, _, prefix = plain.partition("/")
    if _HOST.fullmatch(host) is None or (
        prefix and not all(_PART.fullmatch(part) for part in prefix.split("/"))
    ):
        raise ConfigurationError(
            text("{entry} in {key} is no registry", entry=ascii(entry[:120]), key="image_registries"),
            hint=text("Write its host, such as {example}", example="docker.io, ghcr.io/acme"),
        )
    return Registry(host, prefix, is_encrypted=not entry.startswith("http://"))


def registry_of(name: ImageName, allowed: Iterable[Registry]) -> Registry | None:
    """Return the allowed registry that an image belongs to; None: it may not be used."""
    return next((one for one in allowed if one.has(name)), None)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An image to fetch, as a value: what is equal is fetched once for an organisation."""

    name: str
    """Name in full."""
    secret: str = ""
    """Name of the secret with the registry's login; empty: anybody may fetch it."""
    project_id: str = ""
    """Project whose secret that is; empty without a secret."""
    day: str = ""
    """Day (UTC) on which the tag is looked up; empty for an image named by its digest, which never changes."""

    def digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of the canonical form."""
        canonical = json.dumps({"image": 1, **self.to_json()}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, str]:
        """Return the stored form, which `from_json` reads."""
        return {"name": self.name, "secret": self.secret, "project_id": self.project_id, "day": self.day}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ImageSpec:
        """Read the form that `to_json` wrote."""
        return ImageSpec(*(str(value[key]) for key in ("name", "secret", "project_id", "day")))


def image_spec(image: str, secret: str | None, project_id: str, day: str) -> ImageSpec:
    """Return what to fetch for a job. Raises InvalidInput for a name that is none."""
    name = parse_image(image)
    return ImageSpec(
        name=str(name),
        secret=secret or "",
        project_id=project_id if secret else "",
        day="" if name.digest else day,
    )


def fetch_command(name: ImageName, target: Path, *, is_encrypted: bool) -> tuple[str, ...]:
    """Return a command that fetches and unpacks an image into `target`, an existing, writable folder.

    The variable LOGIN holds `user:password` where the registry wants them. The tag is resolved once, so that what is recorded is what was
    fetched. The image's accounts get the user of the sandbox, id 1000, unless they have one.
    """
    folder, place = shlex.quote(str(target)), shlex.quote(name.place)
    tls, from_tls = ("", "") if is_encrypted else ("--tls-verify=false", "--src-tls-verify=false")
    script = f"""
set -eu
umask 022
cd {folder}
rm -rf layers {ROOT} {CONFIG} {NAME}
login=""
if [ -n "${{{LOGIN}:-}}" ]; then
    (umask 077; printf '{{"auths":{{"%s":{{"auth":"%s"}}}}}}' {shlex.quote(name.registry)} "$(printf %s "${LOGIN}" | base64 -w0)" >"$HOME/login.json")
    login="--authfile $HOME/login.json"
    unset {LOGIN}
fi
digest={shlex.quote(name.digest)}
[ -n "$digest" ] || digest=$(skopeo inspect --no-tags {tls} $login --format '{{{{.Digest}}}}' docker://{place}:{shlex.quote(name.tag)})
echo "fetching {name.place}@$digest"
skopeo copy --quiet --insecure-policy {from_tls} $login docker://{place}@"$digest" oci:layers:image
umoci raw unpack --rootless --image layers:image {ROOT} >/dev/null
skopeo inspect --config --raw oci:layers:image >{CONFIG}
rm -rf layers "$HOME/login.json"
chmod -R u+rwX {ROOT}
cd {ROOT}
for path in {" ".join(MOUNT_FOLDERS)}; do
    if [ -L "$path" ] || [ ! -d "$path" ]; then rm -rf "$path"; mkdir "$path"; fi
done
for path in {" ".join(MOUNT_FILES)}; do
    if [ -L "$path" ] || [ ! -f "$path" ]; then rm -rf "$path"; : >"$path"; fi
done
for line in passwd:pearl:x:1000:1000:pearl:/pearl/home:/bin/sh group:pearl:x:1000:; do
    path="etc/${{line%%:*}}"
    if [ -L "$path" ]; then continue; fi
    grep -q '^[^:]*:[^:]*:1000:' "$path" 2>/dev/null || echo "${{line#*:}}" >>"$path"
done
echo {place}@"$digest" >../{NAME}
"""
    return ("/bin/sh", "-c", script)


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """What is known of a fetched image."""

    variables: Mapping[str, str]
    """Its environment variables, without those of NOT_TAKEN."""
    name: str
    """What was fetched, by its digest; jobs find it in the variable PEARL_IMAGE."""

    def to_json(self) -> str:
        """Return the stored form, which `from_json` reads."""
        return json.dumps({"variables": dict(self.variables), "name": self.name})

    @staticmethod
    def from_json(value: str) -> FetchedImage:
        """Read the form that `to_json` wrote."""
        made = json.loads(value)
        return FetchedImage(made["variables"], made["name"])


def read_config(config: str, name: str, machine: str) -> FetchedImage | Text:
    """Return what the configuration of the image `name` says, or why it cannot run on a `machine` such as x86_64."""
    try:
        made = json.loads(config)
        architecture, given = str(made["architecture"]), (made.get("config") or {}).get("Env") or []
        pairs = [str(line).partition("=") for line in given]
    except (ValueError, KeyError, TypeError, AttributeError):
        return text("its configuration cannot be read")
    ours = _ARCHITECTURES.get(machine, machine)
    if architecture != ours:
        return text("it is for {its} machines, and this center has {ours}", its=architecture[:40], ours=ours)
    variables = {
        name: value
        for name, equals, value in pairs
        if equals and _VARIABLE.fullmatch(name) and name not in NOT_TAKEN and "\0" not in value
    }
    return FetchedImage(variables, name)
