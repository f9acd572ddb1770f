"""Messages for people: a template with parameters, rendered in the reader's language by the interfaces.

All packages build values such as `text("Job {job} waits", job=...)`; only the interfaces (API, CLI, console) render
them. The English template is the key of the Simplified Chinese catalogue in `pearlstreet/locale/zh_CN/*.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

LANGUAGES = ("en", "zh-CN")


@dataclass(frozen=True, slots=True)
class Text:
    """A message that is not rendered in a language yet. `str()` renders it in English."""

    template: str
    params: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.render("en")

    def render(self, language: str) -> str:
        """Return the message in `language` ("en" or "zh-CN"), or in English if it has no translation."""
        template = self.template
        if language == "zh-CN":
            template = catalogue(language).get(template, template)
        params = {
            name: value.render(language) if isinstance(value, Text) else value
            for name, value in self.params.items()
        }
        return template.format(**params) if params else template.replace("{{", "{").replace("}}", "}")

    def to_json(self) -> dict[str, object]:
        """Return the message as a JSON object, which `from_json` reads."""
        return {
            "template": self.template,
            "params": {
                name: value.to_json() if isinstance(value, Text) else value
                for name, value in self.params.items()
            },
        }


def text(template: str, /, **params: object) -> Text:
    """Return a `Text` of an English template with `{named}` parameters."""
    return Text(template, params)


def from_json(value: Mapping[str, object]) -> Text:
    """Return the `Text` of a JSON object that `Text.to_json` made."""
    raw = value.get("params")
    params = raw if isinstance(raw, Mapping) else {}
    return Text(
        str(value["template"]),
        {
            str(name): from_json(item) if isinstance(item, Mapping) and "template" in item else item
            for name, item in params.items()
        },
    )


def pick_language(header: str | None) -> str:
    """Return the best of LANGUAGES for an Accept-Language header or a POSIX locale name such as zh_CN.UTF-8."""
    for part in (header or "").split(","):
        tag = part.split(";")[0].strip().replace("_", "-").lower()
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith(("en", "c.", "posix")) or tag == "c":
            return "en"
    return "en"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return the translations of `language` by English template, read once from the packaged files."""
    folder = resources.files("pearlstreet") / "locale" / language.replace("-", "_")
    translations: dict[str, str] = {}
    if not folder.is_dir():
        return translations
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            translations.update(tomllib.loads(file.read_text(encoding="utf-8")))
    return translations
