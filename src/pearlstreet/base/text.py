"""Messages for people: a template with parameters, rendered in the reader's language at the door.

Rooms build `text("Job {job} waits", job=...)`; only doors (API, CLI, console) render. The English template is the key of
the Simplified Chinese catalogue in `pearlstreet/locale/zh_CN/*.toml`.
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
    """A message not yet put into a language. `str()` gives English."""

    template: str
    params: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.render("en")

    def render(self, language: str) -> str:
        """The message in `language` ("en" or "zh-CN"); a missing translation falls back to English."""
        template = self.template
        if language == "zh-CN":
            template = catalogue(language).get(template, template)
        params = {
            name: value.render(language) if isinstance(value, Text) else value
            for name, value in self.params.items()
        }
        return template.format(**params) if params else template.replace("{{", "{").replace("}}", "}")

    def to_json(self) -> dict[str, object]:
        """A form that survives JSON; `from_json` reads it back."""
        return {
            "template": self.template,
            "params": {
                name: value.to_json() if isinstance(value, Text) else value
                for name, value in self.params.items()
            },
        }


def text(template: str, /, **params: object) -> Text:
    """A `Text` from an English template with `{named}` parameters."""
    return Text(template, params)


def from_json(value: Mapping[str, object]) -> Text:
    """The `Text` that `Text.to_json` wrote."""
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
    """The best of LANGUAGES for an Accept-Language header or a POSIX locale name such as zh_CN.UTF-8."""
    for part in (header or "").split(","):
        tag = part.split(";")[0].strip().replace("_", "-").lower()
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith(("en", "c.", "posix")) or tag == "c":
            return "en"
    return "en"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English template → translation, read once from the packaged files of `language`."""
    folder = resources.files("pearlstreet") / "locale" / language.replace("-", "_")
    found: dict[str, str] = {}
    if not folder.is_dir():
        return found
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            found.update(tomllib.loads(file.read_text(encoding="utf-8")))
    return found
