from __future__ import annotations

import logging
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.base.errors import ConfigurationError, Conflict, Forbidden, InvalidInput, NotFound, TooLarge
from pearlstreet.store.tables import metadata
from pearlstreet.tenancy import keys, orgs, secrets, sessions, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.scopes import OrgRole

from .conftest import PEER, Center


@pytest.fixture
def alice(center: Center) -> Actor:
    center.org("acme")
    orgs.create_project(center.store, center_owner(center), "acme", "vision")
    return center.person("alice", "acme")


def center_owner(center: Center) -> Actor:
    return center.person("olga", "acme", OrgRole.OWNER)


def test_a_job_sees_its_organisations_and_its_projects_secrets(center: Center, alice: Actor) -> None:
    vision = orgs.get_project(center.store, alice, "acme", "vision")
    default = orgs.get_project(center.store, alice, "acme")
    secrets.set_secret(center.store, alice, "acme", "TOKEN", "old")
    secrets.set_secret(center.store, alice, "acme", "TOKEN", "shared")
    secrets.set_secret(center.store, alice, "acme", "CAMERA", "密码\n", project="vision")

    def reveal(project_id: str, *names: str) -> dict[str, str]:
        return center.store.read(
            lambda tx: dict(secrets.reveal_for_job(tx, vision.org_id, project_id, names))
        )

    assert reveal(vision.id, "TOKEN", "CAMERA") == {"TOKEN": "shared", "CAMERA": "密码\n"}
    assert reveal(default.id) == {}
    with pytest.raises(InvalidInput, match="CAMERA"):
        reveal(default.id, "TOKEN", "CAMERA")
    listed = secrets.list_secrets(center.store, alice, "acme")
    assert [(item.name, item.project_id) for item in listed] == [("CAMERA", vision.id), ("TOKEN", None)]
    assert "shared" not in repr(listed)
    secrets.delete_secret(center.store, alice, "acme", "TOKEN")
    with pytest.raises(NotFound):
        secrets.delete_secret(center.store, alice, "acme", "TOKEN")


def test_a_name_is_used_at_one_level_only(center: Center, alice: Actor) -> None:
    secrets.set_secret(center.store, alice, "acme", "TOKEN", "x")
    with pytest.raises(Conflict):
        secrets.set_secret(center.store, alice, "acme", "TOKEN", "y", project="vision")
    secrets.set_secret(center.store, alice, "acme", "CAMERA", "x", project="vision")
    secrets.set_secret(center.store, alice, "acme", "CAMERA", "x", project="default")
    with pytest.raises(Conflict):
        secrets.set_secret(center.store, alice, "acme", "CAMERA", "y")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "A" * 64, "A\n", "\x00", "密"])
def test_bad_names_are_refused(sqlite_center: Center, name: str) -> None:
    sqlite_center.org("acme")
    owner = sqlite_center.person("olga", "acme")
    with pytest.raises(InvalidInput):
        secrets.set_secret(sqlite_center.store, owner, "acme", name, "x")


def test_values_are_bounded_text(sqlite_center: Center) -> None:
    sqlite_center.org("acme")
    owner = sqlite_center.person("olga", "acme")
    with pytest.raises(TooLarge):
        secrets.set_secret(sqlite_center.store, owner, "acme", "A", "x" * (secrets.VALUE_MAX_BYTES + 1))
    for value in ("\x00", "\ud800"):
        with pytest.raises(InvalidInput):
            secrets.set_secret(sqlite_center.store, owner, "acme", "A", value)


def test_viewers_and_operators_set_none_and_strangers_see_none(center: Center, alice: Actor) -> None:
    viewer = center.person("vera", "acme", OrgRole.VIEWER)
    for actor in (viewer, center.system, center.security, center.audit):
        with pytest.raises(Forbidden):
            secrets.set_secret(center.store, actor, "acme", "A", "x")
    for actor in (center.system, center.security, center.audit):
        with pytest.raises(Forbidden):
            secrets.list_secrets(center.store, actor, "acme")
    with pytest.raises(NotFound):
        secrets.list_secrets(center.store, center.person("bob"), "acme")


def test_a_value_moved_to_another_row_does_not_open(center: Center, alice: Actor) -> None:
    """Whoever can write the database cannot make one secret answer for another."""
    default = orgs.get_project(center.store, alice, "acme")
    for name in ("ONE", "TWO"):
        secrets.set_secret(center.store, alice, "acme", name, name)
    table = metadata.tables["secrets"]

    def move(tx: object) -> None:
        sealed = tx.scalar(sa.select(table.c.sealed).where(table.c.name == "ONE"))  # type: ignore[attr-defined]
        tx.execute(sa.update(table).where(table.c.name == "TWO").values(sealed=sealed))  # type: ignore[attr-defined]

    center.store.write(move)
    with pytest.raises(ConfigurationError, match="changed outside"):
        center.store.read(lambda tx: secrets.reveal_for_job(tx, default.org_id, default.id, ["TWO"]))


def test_no_secret_stays_readable_anywhere(
    center: Center, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every secret this room handles is looked for in every row, file, log line and repr it leaves."""
    caplog.set_level(logging.DEBUG)
    center.org("acme")
    password = "canary of a password phrase"
    invited = users.create_user(center.store, center.security, "alice", org="acme")
    sessions.set_password(center.store, invited.token, password)
    started = sessions.sign_in(center.store, "alice", password, peer=PEER)
    alice = authenticate(center.store, started.credential)
    issued = keys.create_key(center.store, alice, "ci")
    actor = authenticate(center.store, issued.credential)
    value = "canary-of-a-stored-secret"
    kept = secrets.set_secret(center.store, alice, "acme", "TOKEN", value)

    hidden = [password, value, *(item.rsplit("_", 1)[1] for item in
              (invited.token, started.credential, issued.credential))]  # fmt: skip
    rows = center.store.read(
        lambda tx: {name: repr([dict(row) for row in tx.rows(sa.select(table))])
                    for name, table in metadata.tables.items()}
    )  # fmt: skip
    assert "key.create" in rows["audit"] and "secret.set" in rows["audit"]
    reprs = repr((invited, started, issued, actor, alice, kept))
    out, err = capfd.readouterr()
    places = {**rows, "repr": reprs, "log": caplog.text, "out": out, "err": err}
    found = [(place, secret) for place, content in places.items() for secret in hidden if secret in content]
    for file in tmp_path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        found += [(file.name, secret) for secret in hidden if secret.encode() in content]
    assert found == []
