"""Compile the `.po` files of every language: `python -m pearlstreet.base.translation_compiler`. Needs Babel."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from pearlstreet.base.locale_folder import COMPILED, LOCALE


def compile_all() -> list[Path]:
    """Write `pearlstreet.mo` of every language beside its `.po` files and return the paths."""
    written = []
    for folder in sorted(LOCALE.glob("*/LC_MESSAGES")):
        path = folder / COMPILED
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(compile_catalogues(folder))
        partial.replace(path)
        written.append(path)
    return written


def compile_catalogues(folder: Path) -> bytes:
    """Return the content of the `.mo` file of all `.po` files in `folder`."""
    language = folder.parent.name
    merged = Catalog(locale=language)
    for source in sorted(folder.glob("*.po")):
        with source.open("rb") as file:
            for message in read_po(file, locale=language, abort_invalid=True):
                if message.id:
                    merged.add(message.id, message.string, flags=message.flags)
    content = BytesIO()
    write_mo(content, merged)
    return content.getvalue()


if __name__ == "__main__":
    compile_all()
