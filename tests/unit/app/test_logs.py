"""Every line of the log is one JSON object, whoever wrote it."""

from __future__ import annotations

import json
import logging

import pytest

from pearlstreet.app.logs import JsonLines


def _line(said: str, *arguments: object, exc_info: bool = False) -> str:
    import sys

    found = sys.exc_info() if exc_info else None
    return JsonLines().format(logging.LogRecord("lib", logging.INFO, "f", 1, said, arguments, found))


def test_a_librarys_line_becomes_json_with_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        try:
            _ = 1 // 0
        finally:
            line = _line('said "%s"\n中', 7, exc_info=True)
    assert "\n" not in line
    found = json.loads(line)
    assert found["event"] == 'said "7"\n中'
    assert "ZeroDivisionError" in found["exception"]
    assert found["level"] == "info"
    assert found["timestamp"].endswith("Z")


def test_our_own_line_stays_as_it_is() -> None:
    assert _line('{"event": "x"}') == '{"event": "x"}'
