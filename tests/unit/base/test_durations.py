"""Durations in both languages."""

from __future__ import annotations

import pytest

from pearlstreet.base.durations import duration, format_duration, rough_duration
from pearlstreet.base.text import from_json


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0.00 s", "0.00 秒"),
        (0.25, "0.25 s", "0.25 秒"),
        (45, "45 s", "45 秒"),
        (60, "1 min", "1 分钟"),
        (173, "2 min 53 s", "2 分 53 秒"),
        (3600, "1 h", "1 小时"),
        (12_000, "3 h 20 min", "3 小时 20 分"),
        (86_400 + 59, "1 d", "1 天"),
        (111_600, "1 d 7 h", "1 天 7 小时"),
        (187_200, "2 d 4 h", "2 天 4 小时"),
    ],
)
def test_durations_have_their_largest_unit_and_the_next(seconds: float, english: str, chinese: str) -> None:
    assert str(duration(seconds)) == format_duration(seconds) == english
    assert format_duration(seconds, "zh-CN") == chinese


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [(0, "0 s", "0 秒"), (45.25, "45.2 s", "45.2 秒"), (600, "10 min", "10 分钟"), (12_600, "3.5 h", "3.5 小时"),
     (172_800, "2 d", "2 天")],
)  # fmt: skip
def test_rough_durations_have_one_unit(seconds: float, english: str, chinese: str) -> None:
    assert str(rough_duration(seconds)) == english
    assert rough_duration(seconds).render("zh-CN") == chinese


def test_durations_are_stored_as_messages() -> None:
    """A message that names a duration is stored, and rendered for every reader later."""
    assert from_json(duration(173).to_json()).render("zh-CN") == "2 分 53 秒"
