"""Container images of jobs: which may be used, how one is fetched, and what a job gets of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.secrets import reveal_for_job
from pearlstreet.workload.environments.images import (
    LOGIN_LINE,
    ROOT,
    TOOLS,
    FetchedImage,
    ImageSpec,
    Registry,
    fetch_command,
    parse_image,
    registry_of,
)

FIELD = "environment.image"


def image_problems(image: str, allowed: Sequence[Registry], *, can_run: bool) -> list[Problem]:
    """Return why a job may not use an image; empty if it may."""
    packages = text('Name Python packages instead: environment: {{python: "3.11", packages: [...]}}')
    if not can_run:
        message = text("No engine of this center runs container images")
        tools = text(
            "They need bubblewrap, {tools} on the nodes. {packages}",
            tools=", ".join(TOOLS),
            packages=packages,
        )
        return [Problem(FIELD, message, hint=tools)]
    if not allowed:
        return [Problem(FIELD, text("This center allows no container images"), hint=packages)]
    name = parse_image(image)
    if registry_of(name, allowed) is None:
        message = text("Images of {registry} are not allowed here", registry=name.place)
        known = ", ".join(str(one) for one in allowed)
        return [Problem(FIELD, message, hint=text("Allowed are those of {registries}", registries=known))]
    return []


def login_for(tx: Tx, row: Row) -> str:
    """Return the registry login of a fetch, `user:password`; empty if it needs none. Raises InvalidInput, NotFound."""
    spec = ImageSpec.from_json(row["spec"])
    if not spec.secret:
        return ""
    found: str = reveal_for_job(tx, row["org_id"], spec.project_id, [spec.secret])[spec.secret]
    if LOGIN_LINE.fullmatch(found) is None:
        raise InvalidInput(
            text("The secret {name} is no registry login", name=spec.secret),
            hint=text("Set it to user:password"),
        )
    return found


def command_for(row: Row, target: Path, allowed: Sequence[Registry]) -> tuple[str, ...]:
    """Return the command that fetches an image into `target`. Raises InvalidInput if its registry is not allowed any more."""
    name = parse_image(ImageSpec.from_json(row["spec"]).name)
    registry = registry_of(name, allowed)
    if registry is None:
        raise InvalidInput(text("Images of {registry} are not allowed here", registry=name.place))
    return fetch_command(name, target, is_encrypted=registry.is_encrypted)


def variables_of(result: str | None) -> Mapping[str, str]:
    """Return the environment variables that an image gives its jobs; `result`: what its preparation keeps."""
    if not result:
        return {}
    image = FetchedImage.from_json(result)
    return {**image.variables, "PEARL_IMAGE": image.name}


def root_of(folder: Path) -> str:
    """Return the folder of an image's file system in the folder of its preparation."""
    return str(folder / ROOT)
