from __future__ import annotations

from pathlib import Path

import pytest

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.tenancy.oidc import AutoCreate
from pearlstreet.tenancy.oidc_settings import clients_from_settings, provider_from_settings
from pearlstreet.tenancy.scopes import OrgRole

RIGHT = {"issuer": "https://id.example.org", "client_id": "pearl"}


def test_a_table_becomes_a_provider(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    table = {
        **RIGHT,
        "client_secret_file": str(tmp_path / "secret"),
        "org": "acme",
        "role": "viewer",
        "algorithms": ["ES256"],
    }
    made = provider_from_settings("school", table)
    assert made.client_secret == "s3cret" and "s3cret" not in repr(made)
    assert made.auto_create == AutoCreate("acme", OrgRole.VIEWER) and made.algorithms == ("ES256",)
    plain = clients_from_settings({"school": RIGHT}, VirtualClock())["school"]
    assert plain.provider.auto_create is None and not plain.provider.private


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": None},
        {"client_id": None},
        {"issuer": 7},
        {"issuer": "http://id.example.org"},
        {"issuer": "https://127.0.0.1"},
        {"issuer": "https://user@id.example.org"},
        {"role": "viewer"},
        {"org": "acme", "role": "king"},
        {"client_secret": "a", "client_secret_file": "/nothing"},
        {"client_secret_file": "/nothing"},
        {"algorithms": "RS256"},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"private": "yes"},
        {"isuer": "typo"},
    ],
)
def test_a_wrong_table_is_refused_by_name(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="school"):
        provider_from_settings("school", {**RIGHT, **change})


@pytest.mark.parametrize(("name", "table"), [("School", RIGHT), ("school", []), ("../x", RIGHT)])
def test_what_is_no_table_is_refused(name: str, table: object) -> None:
    with pytest.raises(ConfigurationError):
        provider_from_settings(name, table)
