"""Every message has a Simplified Chinese translation with the same parameters. All that are missing are listed."""

from __future__ import annotations

import functools
import shutil
import string
from collections import defaultdict
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Message as Entry
from tests.tidy import catalogues
from tests.tidy.cli_messages import literals
from tests.tidy.messages import Message, untraceable
from tests.tidy.templates import untraceable_in_pages
from tests.tidy.update_messages import all_messages, update

from pearlstreet.base.translation_compiler import compile_catalogues

RUN = "run `make messages`, then translate what it lists"


@functools.cache
def messages() -> tuple[Message, ...]:
    return tuple(all_messages())


@functools.cache
def _entries() -> dict[str, dict[str, Entry]]:
    """Template → file name → entry."""
    by_template: dict[str, dict[str, Entry]] = defaultdict(dict)
    for file in sorted(catalogues.FOLDER.glob("*.po")):
        for entry in catalogues.entries(catalogues.read(file)):
            by_template[catalogues.template(entry)][file.name] = entry
    return by_template


def _fields(template: str) -> set[str]:
    return {
        name.split(".")[0].split("[")[0]
        for _, name, _, _ in string.Formatter().parse(template)
        if name is not None
    }


def test_every_message_is_translated() -> None:
    known = _entries()
    missing = sorted(
        {
            f"{message.place}: {message.template!r}"
            for message in messages()
            if message.template not in known
            or not all(catalogues.translated(entry) for entry in known[message.template].values())
        }
    )
    assert not missing, f"{len(missing)} messages are not translated; {RUN}:\n" + "\n".join(missing)


def test_every_translation_is_of_a_message() -> None:
    in_use = {message.template for message in messages()} | literals()
    gone = [
        f"{file}: {template!r}"
        for template, files in _entries().items()
        for file in files
        if template not in in_use
    ]
    assert not gone, f"{len(gone)} translations of messages that are gone; {RUN}:\n" + "\n".join(gone)


def test_messages_can_be_found_by_reading_the_code() -> None:
    assert untraceable() + untraceable_in_pages() == [], (
        "give text(), plural(), t() and tn() literals, parameters of the function around them, or an entry of a table"
    )


def test_messages_get_exactly_the_parameters_they_name() -> None:
    """One of the two forms of a plural message may leave the count out: "A node is drained"."""
    wrong = []
    for message in messages():
        named = _fields(message.template) | _fields(message.plural or "")
        if message.given is not None and message.given | ({"count"} if message.plural else set()) != named | (
            {"count"} if message.plural else set()
        ):
            wrong.append(f"{message.place}: {message.template!r} is given {sorted(message.given)}")
    assert not wrong, "\n".join(wrong)


def test_both_forms_of_a_plural_message_name_the_same_parameters() -> None:
    wrong = [
        f"{message.place}: {message.template!r}, {message.plural!r}"
        for message in messages()
        if message.plural is not None
        and _fields(message.template) - {"count"} != _fields(message.plural) - {"count"}
    ]
    assert not wrong, "\n".join(wrong)


def test_a_message_has_one_plural_form_everywhere() -> None:
    """Also in its catalogue: gettext finds a plural message by the form for 1."""
    forms: dict[str, set[str | None]] = defaultdict(set)
    for message in messages():
        forms[message.template].add(message.plural)
    for template, files in _entries().items():
        if template in forms:
            forms[template] |= {
                None if isinstance(entry.id, str) else entry.id[1] for entry in files.values()
            }
    wrong = {template: plurals for template, plurals in forms.items() if len(plurals) > 1}
    assert not wrong, f"{RUN}, or use one form:\n" + "\n".join(
        f"{key!r}: {value}" for key, value in wrong.items()
    )


def test_translations_use_the_same_parameters() -> None:
    wrong = []
    for template, files in _entries().items():
        for file, entry in files.items():
            forms = [entry.id] if isinstance(entry.id, str) else entry.id
            if not any(_fields(form) == _fields(catalogues.translated(entry)) for form in forms):
                wrong.append(f"{file}: {template!r}")
    assert not wrong, "\n".join(wrong)


def test_a_message_is_translated_one_way() -> None:
    twice = {
        template: sorted({catalogues.translated(entry) for entry in files.values()})
        for template, files in _entries().items()
        if len({catalogues.translated(entry) for entry in files.values()}) > 1
    }
    assert not twice, "\n".join(f"{template!r}: {lines}" for template, lines in twice.items())


def test_files_are_written_as_make_messages_writes_them() -> None:
    """No entry twice in a file, strings in one line each: changes of several people then merge."""
    for file in sorted(catalogues.FOLDER.glob("*.po")):
        before = file.read_text(encoding="utf-8")
        copy = catalogues.render(catalogues.comment_of(file), catalogues.entries(catalogues.read(file)))
        assert before == copy, f"{file.name}: {RUN}"


def test_the_compiled_file_has_every_translation() -> None:
    compiled = GNUTranslations(BytesIO(compile_catalogues(catalogues.FOLDER)))
    for template, files in _entries().items():
        for entry in files.values():
            found = (
                compiled.gettext(template)
                if isinstance(entry.id, str)
                else compiled.ngettext(entry.id[0], entry.id[1], 5)
            )
            assert found == catalogues.translated(entry)


def test_the_search_for_messages_finds_some_of_each_kind() -> None:
    found = {message.template for message in messages()}
    assert "The database is busy" in found, "given to text() directly"
    assert "{value} is not an e-mail address" in found, "given to a function that hands it on"
    assert "Skip to content" in found, "in a page"
    assert "Show the policy that rules." in found, "in the help of a command"


def test_make_messages_adds_removes_and_keeps(tmp_path: Path) -> None:
    shutil.copy(catalogues.FOLDER / "http.po", tmp_path)
    shutil.copy(catalogues.FOLDER / "pool.po", tmp_path)
    kept, gone, *_ = catalogues.entries(catalogues.read(tmp_path / "http.po"))
    pool = [
        Message("compute/pool/inventory.py:1", catalogues.template(entry), None)
        for entry in catalogues.entries(catalogues.read(tmp_path / "pool.po"))
    ]
    wanted = [
        Message("http/limits.py:1", kept.id, None),
        Message("http/limits.py:2", "{count} node waits", None, "{count} nodes wait"),
        *pool,
    ]
    lines = update(wanted, set(), tmp_path)
    assert f"http.po: removed {gone.id!r}" in lines
    assert "http.po: added '{count} node waits'" in lines
    assert "http.po: to be translated: '{count} node waits'" in lines
    first, second = catalogues.entries(catalogues.read(tmp_path / "http.po"))
    assert (first.id, first.string) == (kept.id, kept.string)
    assert (second.id, second.string) == (("{count} node waits", "{count} nodes wait"), ("",))
    unchanged = (tmp_path / "http.po").read_text(encoding="utf-8")
    assert update(wanted, set(), tmp_path) == ["http.po: to be translated: '{count} node waits'"]
    assert (tmp_path / "http.po").read_text(encoding="utf-8") == unchanged
