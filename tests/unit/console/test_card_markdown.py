"""Markdown of cards: shown as it is meant, without anything that a browser would run or load from elsewhere."""

from __future__ import annotations

import re
import time

import pytest

from pearlstreet.console.card_markdown import CardLinks, render_card

LINKS = CardLinks("/hub/model/acme/tiny", "main")


def test_headings_lists_tables_and_code_are_shown() -> None:
    html = render_card("# Title\n\n- one\n\n|a|b|\n|-|-:|\n|1|2|\n\n```py\nx<1\n```\n~~old~~ **new**", LINKS)
    assert '<h2 id="card-title">Title</h2>' in html and "<li>one</li>" in html
    assert '<td class="num">2</td>' in html and "style=" not in html
    assert "x&lt;1" in html and "<s>old</s> <strong>new</strong>" in html


def test_links_lead_to_files_other_sites_and_places_of_the_card() -> None:
    html = render_card(
        "[f](docs/a%20b.md) [s](https://example.org/x) [p](#A-Part) [m](mailto:a@example.org)\n\n# A part",
        LINKS,
    )
    assert 'href="/hub/model/acme/tiny/file?rev=main&amp;path=docs%2Fa%20b.md"' in html
    assert '<a href="https://example.org/x" rel="nofollow noopener noreferrer">' in html
    assert 'href="#card-a-part"' in html and 'id="card-a-part"' in html and "mailto:" in html


def test_images_come_from_the_repository_only() -> None:
    html = render_card(
        "![plot](img/p.png) ![far](https://example.org/t.gif) ![s](x.svg) ![d](data:image/png;base64,AA)",
        LINKS,
    )
    assert re.findall(r'<img src="([^"]+)"', html) == [
        "/hub/model/acme/tiny/raw?rev=main&amp;path=img%2Fp.png"
    ]
    assert (
        "far" in html and "example.org" not in html and "data:image/png" in html and 'src="data' not in html
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](vbscript:x) [y](data:text/html,<script>) [z](file:///etc/passwd)",
        "<javascript:alert(1)>",
        "[x]: javascript:alert(1)\n[x]",
        '[x](https://a"onmouseover="alert(1))',
        "[x](//evil.example/a) [y](\\\\evil.example)",
        "[x](../../../etc/passwd) ![x](/../../a.png)",
    ],
)
def test_nothing_in_a_card_runs(hostile: str) -> None:
    html = render_card(hostile, LINKS)
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {"p", "a", "img"}, html
    assert not re.search(r"<[^>]+\son\w+=", html), html
    for address in re.findall(r'(?:href|src)="([^"]*)"', html):
        assert address.startswith(("/hub/model/acme/tiny", "https://a")), address


@pytest.mark.parametrize("part", ["[", "*", "> ", "- ", "`", "![](", "<a ", "|", "_a", "~~", "[a](", "&"])
def test_repeated_signs_take_little_time(part: str) -> None:
    began = time.process_time()
    render_card(part * (20_000 // len(part)), LINKS)
    assert time.process_time() - began < 3
