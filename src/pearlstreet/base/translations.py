"""Translations of messages: gettext catalogues below `pearlstreet/locale/<language>/LC_MESSAGES/`.

The sources are several `.po` files, one per package. `make setup` and the build of the wheel compile them into one
`pearlstreet.mo`, which the standard library reads in about 10 ms; reading the `.po` files takes 130 ms and needs Babel.
The wheel therefore contains only the `.mo`. A checkout with `.po` files that are newer than the `.mo` reads these.
"""

from __future__ import annotations

from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from pearlstreet.base.locale_folder import COMPILED, LOCALE


@cache
def translations(language: str) -> NullTranslations:
    """Return the translations into `language`, such as "zh-CN"; without catalogues, one that leaves English."""
    folder = LOCALE / language.replace("-", "_") / "LC_MESSAGES"
    compiled, sources = folder / COMPILED, list(folder.glob("*.po"))
    if sources and not _is_current(compiled, sources):
        try:
            from pearlstreet.base.translation_compiler import compile_catalogues

            return GNUTranslations(BytesIO(compile_catalogues(folder)))
        except ModuleNotFoundError:  # Babel is not installed: older translations are better than none
            pass
    if not compiled.is_file():
        return NullTranslations()
    with compiled.open("rb") as file:
        return GNUTranslations(file)


def _is_current(compiled: Path, sources: list[Path]) -> bool:
    if not compiled.is_file():
        return False
    compiled_at_ns = compiled.stat().st_mtime_ns
    return all(source.stat().st_mtime_ns <= compiled_at_ns for source in sources)
