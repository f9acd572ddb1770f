"""A setting that cannot be right is refused at the start, with its name and where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from pearlstreet.app.settings import Settings, default_data_dir, load_settings
from pearlstreet.base.errors import ConfigurationError


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
