"""Documents name only files and commands that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.source import ROOT, files

PATH = re.compile(r"`([\w.-]+/[\w./-]+\.(?:py|toml|sh|html|po))`")
FILE = re.compile(r"`(\w+\.py)`")
COMMAND = re.compile(r"^(?:\s*\$ |\s{4,}|\s*\| )?`?pearl ((?:[a-z][a-z-]+)(?: [a-z][a-z-]+)?)", re.M)
PLACES = (ROOT, ROOT / "src" / "pearlstreet", ROOT / "src" / "pearlstreet" / "compute", ROOT / "docs")
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
        for path in PATH.findall(content)
        if not any((place / path).exists() for place in (*PLACES, ROOT / document.parent))
    ]
    gone += [
        f"{document}: {name}"
        for document, content in _documents()
        for name in FILE.findall(content)
        if name not in names
    ]
    assert not gone, "\n".join(gone)


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
