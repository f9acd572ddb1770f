"""Documents name only files, commands and pages that exist, and every link of theirs leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.source import ROOT, files

PATH = re.compile(r"`([\w.-]+/[\w./-]+\.(?:py|toml|sh|html|po))`")
UNQUOTED_PATH = re.compile(
    r"(?<![\w./<>-])((?:src|tests|compute|docs|recipes|scripts|benchmarks)/[\w./-]*\w\.(?:py|md|csv|yaml|sh))\b"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.M)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
FILE = re.compile(r"`(\w+\.py)`")
COMMAND = re.compile(
    r"(?:^(?:\s*\$ |\s{4,}|\s*\| )?|; +|&& |`)(?:[A-Z_]+=\S* )*pearl ((?:[a-z][a-z-]+)(?: [a-z][a-z-]+)?)",
    re.M,
)
PLACES = (ROOT, ROOT / "src" / "pearlstreet", ROOT / "src" / "pearlstreet" / "compute", ROOT / "docs")
EVERYWHERE = {"--help"}
"""Options of every command, beside those that the reference lists."""
EXAMPLES = {"utils.py"}
"""File names that documents give as examples of what there is not."""


def _documents() -> Iterator[tuple[Path, str]]:
    for path in files():
        if path.suffix == ".md" and path.name != "CHANGELOG.md":
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_files_that_documents_name_exist() -> None:
    names = {path.name for path in files()} | EXAMPLES
    gone = [
        f"{document}: {path}"
        for document, content in _documents()
        for path in PATH.findall(content) + UNQUOTED_PATH.findall(content)
        if not any((place / path).exists() for place in (*PLACES, ROOT / document.parent))
    ]
    gone += [
        f"{document}: {name}"
        for document, content in _documents()
        for name in FILE.findall(content)
        if name not in names
    ]
    assert not gone, "\n".join(gone)


def _anchors(content: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them: the second of equal headings ends in -1."""
    anchors: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", content)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (numbered := f"{anchor}-{number}" if number else anchor) in anchors:
            number += 1
        anchors.add(numbered)
    return anchors


def _broken_links(document: Path, content: str) -> list[str]:
    broken = []
    for link in LINK.findall(FENCED.sub("", content)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document.parent / path).resolve() if path else ROOT / document
        if not target.exists():
            broken.append(f"{document}: {link}")
        elif anchor and anchor not in _anchors(target.read_text(encoding="utf-8") if path else content):
            broken.append(f"{document}: {link} (no such heading)")
    return broken


def test_links_between_documents_lead_somewhere() -> None:
    broken = [link for document, content in _documents() for link in _broken_links(document, content)]
    assert not broken, "\n".join(broken)


def test_broken_links_are_reported() -> None:
    content = (
        "# A page\n[a](README.md#use-it) [b](#a-page) [c](gone.md) [d](#gone) [e](https://example.org/x)\n"
    )
    assert _broken_links(Path("README.md"), content) == [
        "README.md: gone.md",
        "README.md: #gone (no such heading)",
    ]


def test_commands_that_documents_show_exist() -> None:
    known = re.findall(
        r"^#+ `?pearl ([a-z -]+)`?$", (ROOT / "docs/reference/cli.md").read_text("utf-8"), re.M
    )
    groups = {command.split()[0] for command in known if " " in command}
    gone = []
    for document, content in _documents():
        for called in COMMAND.findall(content):
            first, _, second = called.partition(" ")
            if first not in groups and first not in known:
                gone.append(f"{document}: pearl {first}")
            elif first in groups and second and f"{first} {second}" not in known:
                gone.append(f"{document}: pearl {called}")
    assert known, "the reference has headings of commands"
    assert not gone, "\n".join(gone)


def test_options_that_documents_show_exist() -> None:
    sections: dict[str, str] = {}
    for section in re.split(r"^#+ `?pearl ", (ROOT / "docs/reference/cli.md").read_text("utf-8"), flags=re.M)[
        1:
    ]:
        heading, _, text = section.partition("\n")
        sections[heading.strip("`")] = text
    gone = []
    for document, content in _documents():
        for line in re.findall(r"(?<![\w/.-])pearl ([a-z][^\n`;#]*)", content.replace("\\\n", " ")):
            words = line.split(" -- ")[0].split()
            command = next((name for size in (3, 2, 1) if (name := " ".join(words[:size])) in sections), None)
            if command is not None:
                options = [
                    word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][\w-]*(=.*)?", word)
                ]
                gone += [
                    f"{document}: pearl {command} {option}"
                    for option in options
                    if option not in sections[command].split() and option not in EVERYWHERE
                ]
    assert len(sections) > 50, "the reference has headings of commands"
    assert not gone, "\n".join(gone)
