"""The table [health] of pearl.toml, and the text of dcgm-exporter fetched over HTTP."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Mapping

import pytest

from pearlstreet.app.health import fetch_metrics, health_from_settings
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.hardware.health_rules import RULES


def test_the_table_changes_what_it_names() -> None:
    settings = health_from_settings(
        {
            "quiet_s": 600,
            "dcgm_url": "http://{node}:9400/metrics",
            "rules": {"ecc_corrected": {"warn": 5, "drain": False, "window_h": 2}},
        }
    )
    rules = {rule.counter: rule for rule in settings.policy.rules}
    changed = rules["ecc_corrected"]
    assert (changed.warn, changed.drain, changed.window_h) == (5, None, 2)
    assert settings.policy.quiet_s == 600
    assert [rules[rule.counter] for rule in RULES if rule.counter != "ecc_corrected"] == [
        rule for rule in RULES if rule.counter != "ecc_corrected"
    ]


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"drain": True}, "health.drain"),
        ({"drains": "yes"}, "health.drains"),
        ({"quiet_s": -1}, "health.quiet_s"),
        ({"dcgm_url": "n1:9400"}, "health.dcgm_url"),
        ({"rules": {"fans": {}}}, "health.rules.fans"),
        ({"rules": {"link_errors": {"warn": True}}}, "health.rules.link_errors.warn"),
        ({"rules": {"link_errors": {"limit": 1}}}, "health.rules.link_errors"),
        ({"rules": {"link_errors": {"window_h": 48}}}, "health.rules.link_errors.window_h"),
    ],
)
def test_a_wrong_key_is_named(table: Mapping[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        health_from_settings(table)


def test_metrics_are_fetched_and_a_silent_exporter_is_no_error() -> None:
    class Exporter(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(b'DCGM_FI_DEV_XID_ERRORS{gpu="0"} 0')

        def log_message(self, *arguments: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        assert fetch_metrics(f"{base}/metrics") == 'DCGM_FI_DEV_XID_ERRORS{gpu="0"} 0'
        assert fetch_metrics(f"{base}/other") is None
    finally:
        server.shutdown()
        server.server_close()
    assert fetch_metrics(f"{base}/metrics") is None
