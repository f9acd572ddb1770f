"""Tenants' secrets: encrypted values that jobs get as environment variables and that cannot be read back.

A secret belongs to an organisation or to one of its projects. The same name in both is refused, so that the value a job
gets is never ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Problem, TooLarge, TooMany
from pearlstreet.base.text import Text, text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx, must_be_sealed
from pearlstreet.tenancy.model import Actor, Project
from pearlstreet.tenancy.orgs import find_org, find_project
from pearlstreet.tenancy.reach import visible_rows
from pearlstreet.tenancy.tables import secrets

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
VALUE_MAX_BYTES = 64 << 10
PER_ORG_MAX = 1000


@dataclass(frozen=True, slots=True)
class SecretName:
    """A secret without its value. With `project_id` None it belongs to the whole organisation."""

    id: str
    org_id: str
    project_id: str | None
    name: str
    updated_us: int
    updated_by: str


def set_secret(
    store: Store, actor: Actor, org: str, name: str, value: str, *, project: str | None = None
) -> SecretName:
    """Create or replace a secret of the organisation, or of `project`.

    Raises InvalidInput, TooLarge, TooMany, and Conflict when a secret of this name exists at the other level.
    """
    _check(name, value)

    def command(tx: Tx) -> SecretName:
        org_id, project_id = _place(tx, actor, org, project)
        same = _named(tx, org_id, [name])
        here = next((row for row in same if row["project_id"] == project_id), None)
        if here is None:
            _check_free(tx, org_id, project_id, name, same)
        row_id = here["id"] if here else tx.new_id("sec")
        sealed = must_be_sealed(tx).seal(value.encode(), f"secret {row_id}")
        kept = {"sealed": sealed, "updated_us": tx.now_us, "updated_by": actor.label}
        if here:
            tx.execute(sa.update(secrets).where(secrets.c.id == row_id).values(**kept))
        else:
            tx.execute(
                sa.insert(secrets).values(id=row_id, org_id=org_id, project_id=project_id, name=name, **kept)
            )
        _note(tx, actor, "secret.set", row_id, org_id, name)
        return SecretName(row_id, org_id, project_id or None, name, tx.now_us, actor.label)

    return store.write(command)


def list_secrets(store: Store, actor: Actor, org: str) -> Sequence[SecretName]:
    """Return the secrets of the organisation and its projects, without values, ordered by name.

    A key tied to a project sees only the secrets of that project.
    """

    def query(tx: Tx) -> Sequence[SecretName]:
        found = sa.select(secrets).where(visible_rows(tx, actor, "secrets:read", secrets, org=org))
        return [_secret(row) for row in tx.rows(found.order_by(secrets.c.name, secrets.c.project_id))]

    return store.read(query)


def delete_secret(store: Store, actor: Actor, org: str, name: str, *, project: str | None = None) -> None:
    """Delete a secret. Raises NotFound."""

    def command(tx: Tx) -> None:
        org_id, project_id = _place(tx, actor, org, project)
        here = [row for row in _named(tx, org_id, [name]) if row["project_id"] == project_id]
        if not here:
            raise NotFound(text("No secret {name}", name=name[:64]))
        tx.execute(sa.delete(secrets).where(secrets.c.id == here[0]["id"]))
        _note(tx, actor, "secret.delete", here[0]["id"], org_id, name)

    store.write(command)


def check_for_job(tx: Tx, actor: Actor, project: Project, names: Iterable[str]) -> None:
    """Raise InvalidInput for secrets that a job submitted by the actor in this project must not use.

    These are unknown secrets and, for a key tied to a project, secrets of the organisation, which its job could read.
    """
    found = _for_job(tx, project.org_id, project.id, names)
    shared = sorted(row["name"] for row in found if not row["project_id"])
    if shared and actor.project_id is not None:
        message = text("The secret {name} belongs to the whole organisation", name=", ".join(shared)[:400])
        hint = text("A key that is tied to a project uses only secrets of the project")
        raise InvalidInput(message, hint=hint, problems=[Problem("secrets", message, hint=hint)])


def reveal_for_job(tx: Tx, org_id: str, project_id: str, names: Iterable[str]) -> Mapping[str, str]:
    """Return the values of secrets by name, for an attempt of a job of this project. Raises InvalidInput."""
    sealer = must_be_sealed(tx)
    found = _for_job(tx, org_id, project_id, names)
    return {row["name"]: sealer.open(bytes(row["sealed"]), f"secret {row['id']}").decode() for row in found}


def _for_job(tx: Tx, org_id: str, project_id: str, names: Iterable[str]) -> Sequence[RowMapping]:
    wanted = sorted(set(names))
    found = [row for row in _named(tx, org_id, wanted) if row["project_id"] in ("", project_id)]
    missing = sorted(set(wanted) - {row["name"] for row in found})
    if missing:
        message = text("There is no secret {name}", name=", ".join(missing)[:400])
        hint = text("Set it with: pearl secrets set {name}", name=missing[0][:64])
        raise InvalidInput(message, hint=hint, problems=[Problem("secrets", message, hint=hint)])
    return found


def _place(tx: Tx, actor: Actor, org: str, project: str | None) -> tuple[str, str]:
    if project is None and actor.project_id is None:
        return find_org(tx, actor, org, "secrets:write").id, ""
    found = find_project(tx, actor, org, project, "secrets:write")
    return found.org_id, found.id


def _named(tx: Tx, org_id: str, names: Sequence[str]) -> Sequence[RowMapping]:
    names = [name for name in names if NAME.fullmatch(name)]
    if not names:
        return []
    return tx.rows(sa.select(secrets).where(secrets.c.org_id == org_id, secrets.c.name.in_(names)))


def _check_free(tx: Tx, org_id: str, project_id: str, name: str, same: Sequence[RowMapping]) -> None:
    clash = [row for row in same if project_id == "" or row["project_id"] == ""]
    if clash:
        raise Conflict(
            text("A secret {name} exists at the other level (organisation or project)", name=name),
            hint=text("Use another name, or delete that one first"),
        )
    count = tx.scalar(sa.select(sa.func.count()).select_from(secrets).where(secrets.c.org_id == org_id))
    if count >= PER_ORG_MAX:
        raise TooMany(text("An organisation keeps at most {count} secrets", count=PER_ORG_MAX))


def _check(name: str, value: str) -> None:
    if not NAME.fullmatch(name):
        raise _invalid(
            text("{name} is not a name for a secret: use 1–63 letters, digits and . _ -", name=name[:64])
        )
    if "\0" in value:
        raise _invalid(text("A secret cannot contain a NUL character"))
    if len(value.encode("utf-8", "surrogatepass")) > VALUE_MAX_BYTES:
        raise TooLarge(text("A secret holds at most {count} bytes", count=VALUE_MAX_BYTES))
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _invalid(text("A secret must be text"))


def _invalid(message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem("name", message)])


def _note(tx: Tx, actor: Actor, action: str, target: str, org_id: str, name: str) -> None:
    audit.record(tx, actor=actor.label, action=action, target=target, org_id=org_id, details={"name": name})


def _secret(row: RowMapping) -> SecretName:
    return SecretName(
        row["id"],
        row["org_id"],
        row["project_id"] or None,
        row["name"],
        row["updated_us"],
        row["updated_by"],
    )
