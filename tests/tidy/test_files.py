"""Names that say nothing, documents without one title, links that lead nowhere, and traces of one machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.source import ROOT, files, texts

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "stuff", "tools"}
# Written so that these lines do not match themselves.
TRACES = re.compile(
    r"/wor[k]/(main|shared|\.)|py[p]i\.org|pythonhoste[d]\.org|deb\.debia[n]\.org|registry\.npmj[s]|/opt/pyp[i]"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_no_file_is_named_after_nothing() -> None:
    code = [path for path in files() if path.suffix in {".py", ".sh", ".js"}]
    assert [str(path.relative_to(ROOT)) for path in code if path.stem in EMPTY_NAMES] == []


def test_nothing_speaks_of_one_machine_or_one_package_index() -> None:
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, content in texts()
        for number, line in enumerate(content.splitlines(), 1)
        if TRACES.search(line)
    ]
    assert not found, "\n".join(found)


def _markdown() -> Iterator[tuple[Path, str]]:
    for path in files():
        if path.suffix == ".md":
            yield (
                path,
                re.sub(r"^( *)(```|~~~).*?^\1\2", "", path.read_text(encoding="utf-8"), flags=re.S | re.M),
            )


def test_every_document_has_one_title_on_its_first_line() -> None:
    wrong = []
    for path, content in _markdown():
        titles = [line for line in content.splitlines() if line.startswith("# ")]
        if len(titles) != 1 or not content.startswith("# "):
            wrong.append(f"{path.relative_to(ROOT)}: {titles}")
    assert not wrong, "\n".join(wrong)


def test_links_inside_the_project_lead_somewhere() -> None:
    dead = []
    for path, content in _markdown():
        for link in LINK.findall(content):
            target = link.split("#")[0]
            if target and "://" not in link and not link.startswith("mailto:"):
                place = ROOT / target[1:] if target.startswith("/") else path.parent / target
                if not place.exists():
                    dead.append(f"{path.relative_to(ROOT)}: {link}")
    assert not dead, "\n".join(dead)


def test_decisions_are_short_and_numbered_without_gaps() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    assert [path.name for path in decisions if len(path.read_text(encoding="utf-8").splitlines()) > 60] == []
