"""A setting that cannot be right is refused at the start, with its name and where it stands."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pearlstreet.app.settings import Settings, default_data_dir, load_settings
from pearlstreet.app.settings_reference import settings_page
from pearlstreet.base.attribute_docs import attribute_docs
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.tenancy.notices.mail import KEYS as mail_keys
from pearlstreet.tenancy.notices.mail import mail_from_settings
from pearlstreet.tenancy.oidc_settings import KEYS as oidc_keys
from pearlstreet.tenancy.oidc_settings import provider_from_settings


def _load(folder: Path, toml: str = "", **variables: str) -> Settings:
    (folder / "pearl.toml").write_text(toml)
    return load_settings(folder, {}, variables)


def test_a_variable_stands_above_the_file_and_an_option_above_both(tmp_path: Path) -> None:
    assert _load(tmp_path, "port = 7000").port == 7000
    assert _load(tmp_path, "port = 7000", PEARL_PORT="7001").port == 7001
    assert load_settings(tmp_path, {"port": 7002}, {"PEARL_PORT": "7001"}).port == 7002


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("port = 0", "port"),
        ("port = true", "port"),
        ("port = 1.5", "port"),
        ('port = "http"', "port"),
        ("hold_window_s = 0", "hold_window_s"),
        ("meter_interval_s = 0", "meter_interval_s"),
        ("meter_interval_s = nan", "meter_interval_s"),
        ("kept_days = -1", "kept_days"),
        ("simulate_speed = inf", "simulate_speed"),
        ("reserve_cpus = -2", "reserve_cpus"),
        ("name = 7", "name"),
        ("simulate = true", "simulate"),
        ('uv = "https://example.com/simple"', "uv"),
        ("uv = {UV_OFFLINE = 1}", "uv"),
        ("oidc = []", "oidc"),
        ("speling = 1", "speling"),
        ('behind_proxy = "perhaps"', "behind_proxy"),
        ('proxies = "10.0.0.0/8,proxy"', "proxies"),
        ('proxies = "*"', "proxies"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(tmp_path: Path, toml: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        _load(tmp_path, toml)


def test_leaving_loopback_takes_tls_or_a_proxy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in the clear"):
        _load(tmp_path, 'listen = "0.0.0.0"')
    assert _load(tmp_path, 'listen = "0.0.0.0"\nbehind_proxy = true').behind_proxy


def test_without_a_home_variable_the_users_own_home_is_taken(tmp_path: Path) -> None:
    assert default_data_dir({"HOME": str(tmp_path)}) == tmp_path / ".local/share/pearlstreet"
    assert default_data_dir({}) == Path.home() / ".local/share/pearlstreet"
    assert default_data_dir({"XDG_DATA_HOME": "/x", "HOME": "/y"}) == Path("/x/pearlstreet")
    assert default_data_dir({"PEARL_DATA": "/z", "HOME": "/y"}) == Path("/z")


def test_the_database_of_a_folder_is_remembered_until_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("postgresql://pearl@db/pearl\n")
    assert load_settings(tmp_path, {}, {}).database_url == "postgresql://pearl@db/pearl"
    moved = {"PEARL_DATABASE": "postgresql://pearl@other/pearl"}
    assert load_settings(tmp_path, {}, moved).database_url == "postgresql://pearl@other/pearl"


def test_the_reference_page_lists_every_setting_with_its_description() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page(), (
        "run: python -m pearlstreet.app.settings_reference > docs/reference/settings.md"
    )
    undescribed = [name for name, words in attribute_docs(Settings).items() if not words]
    assert not undescribed
    for item in dataclasses.fields(Settings):
        if item.name != "data":  # the folder of the file itself
            assert f"`{item.name}`" in settings_page() or f"[{item.name}" in settings_page()


def test_the_example_of_the_reference_page_can_be_loaded(tmp_path: Path) -> None:
    example = settings_page().split("```toml\n")[1].split("```")[0]
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    loaded = _load(tmp_path, example.replace("/etc/pearl", str(tmp_path)))
    assert loaded.kept_days == 14
    assert mail_from_settings(loaded.mail, None) is not None


def test_every_described_key_of_the_tables_can_be_set(tmp_path: Path) -> None:
    mail = {"host": "mail.example.com", "port": 25, "from": "a@example.com", "user": "u", "password": "p"}
    assert set(mail) | {"password_file", "security", "ca_file"} == set(mail_keys)
    provider = {"issuer": "https://id.example.com", "client_id": "c", "org": "acme", "role": "viewer"}
    lists = {"algorithms": ["ES256"], "scopes": ["openid"], "private": False, "client_secret": "s"}
    assert set(provider) | set(lists) | {"client_secret_file"} == set(oidc_keys)
    assert mail_from_settings(mail, None) is not None
    assert provider_from_settings("lab", provider | lists).client_secret == "s"
