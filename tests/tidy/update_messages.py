"""`make messages`: bring the `.po` files up to date with the messages in the code and list what is left to translate."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path, PurePosixPath

from babel.messages.catalog import Message as Entry
from tests.tidy import catalogues
from tests.tidy.cli_messages import cli_messages, literals
from tests.tidy.messages import Message, messages
from tests.tidy.templates import page_messages

from pearlstreet.base.translation_compiler import compile_all


def all_messages() -> list[Message]:
    """Return every message of the code, the pages and the command line."""
    return [*messages(), *page_messages(), *cli_messages()]


def update(messages: list[Message], known_strings: set[str], folder: Path = catalogues.FOLDER) -> list[str]:
    """Add missing messages to the `.po` files in `folder` with an empty translation, remove those that are gone.

    A message goes to the file that has most messages of the same module or, failing that, of its package.
    Return one line per change and per message without translation.
    """
    files = {path: catalogues.entries(catalogues.read(path)) for path in sorted(folder.glob("*.po"))}
    wanted = {message.template: message for message in messages}
    home = {catalogues.template(entry): path for path, entries in files.items() for entry in entries}
    lines = []
    for path, entries in files.items():
        kept = []
        for entry in entries:
            template = catalogues.template(entry)
            if template in wanted:
                kept.append(_with_plural(entry, wanted[template].plural))
            elif template in known_strings:
                kept.append(entry)
            else:
                lines.append(f"{path.name}: removed {template!r}")
        files[path] = kept
    for template, message in wanted.items():
        if template not in home:
            path = _file_for(message, messages, home)
            home[template] = path
            files[path].append(_entry(message))
            lines.append(f"{path.name}: added {template!r}")
    for path, entries in files.items():
        catalogues.write(path, catalogues.comment_of(path), entries)
        lines += [
            f"{path.name}: to be translated: {catalogues.template(entry)!r}"
            for entry in entries
            if not catalogues.translated(entry)
        ]
    return lines


def _entry(message: Message) -> Entry:
    if message.plural is None:
        return Entry(message.template, "")
    return Entry((message.template, message.plural), ("",))


def _with_plural(entry: Entry, plural: str | None) -> Entry:
    """Return the entry with the plural form of the code. Its Chinese stays: it has one form for every count."""
    template, translation = catalogues.template(entry), catalogues.translated(entry)
    identity = template if plural is None else (template, plural)
    if entry.id == identity:
        return entry
    string = translation if plural is None else (translation,)
    return Entry(identity, string, flags=entry.flags, user_comments=entry.user_comments)


def _file_for(message: Message, messages: list[Message], home: dict[str, Path]) -> Path:
    place = PurePosixPath(message.place.rpartition(":")[0] or message.place)
    for folder in (place, *place.parents):
        votes = Counter(
            home[other.template]
            for other in messages
            if other.template in home and PurePosixPath(other.place.rpartition(":")[0]).is_relative_to(folder)
        )
        if votes:
            return votes.most_common(1)[0][0]
    return next(iter(home.values()))


def main() -> None:
    """Update the files and print what changed and what is left to translate."""
    lines = update(all_messages(), literals())
    compile_all()
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "Nothing changed; everything is translated.\n")


if __name__ == "__main__":
    main()
