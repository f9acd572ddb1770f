"""Messages for people: a template with parameters, rendered in the reader's language by the interfaces.

All packages build values such as `text("Job {job} waits", job=...)`; only the interfaces (API, CLI, console) render
them. The English template is the key of the translation in `pearlstreet/locale/zh_CN/LC_MESSAGES/*.po`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.translations import translations

LANGUAGES = ("en", "zh-CN")


@dataclass(frozen=True, slots=True)
class Text:
    """A message that is not rendered in a language yet. `str()` renders it in English."""

    template: str
    params: Mapping[str, object] = field(default_factory=dict)
    plural: str | None = None
    """English template for every count but 1; `template` is then the one for 1, `params["count"]` the count."""

    def __str__(self) -> str:
        return self.render("en")

    def render(self, language: str) -> str:
        """Return the message in `language` ("en" or "zh-CN"), or in English if it has no translation."""
        template = self._template_in(language)
        params = {
            name: value.render(language) if isinstance(value, Text) else value
            for name, value in self.params.items()
        }
        return template.format(**params) if params else template.replace("{{", "{").replace("}}", "}")

    def _template_in(self, language: str) -> str:
        if self.plural is None:
            if language == "en" or not self.template:  # gettext answers "" with the header of its catalogue
                return self.template
            return translations(language).gettext(self.template)
        number = 1 if self.params.get("count") in (1, "1") else 2
        if language == "en":
            return self.template if number == 1 else self.plural
        return translations(language).ngettext(self.template, self.plural, number)

    def to_json(self) -> dict[str, object]:
        """Return the message as a JSON object, which `from_json` reads."""
        plural = {} if self.plural is None else {"plural": self.plural}
        return {
            "template": self.template,
            **plural,
            "params": {
                name: value.to_json() if isinstance(value, Text) else value
                for name, value in self.params.items()
            },
        }


def text(template: str, /, **params: object) -> Text:
    """Return a `Text` of an English template with `{named}` parameters."""
    return Text(template, params)


def plural(one: str, many: str, /, *, count: float | str, **params: object) -> Text:
    """Return a `Text` that reads `one` in English if `count` is 1, else `many`. Both may name `{count}`.

    A count that is formatted already, such as "1,024", is given as it is to be shown.
    """
    return Text(one, {"count": count, **params}, many)


def from_json(value: Mapping[str, object]) -> Text:
    """Return the `Text` of a JSON object that `Text.to_json` made."""
    raw = value.get("params")
    params = raw if isinstance(raw, Mapping) else {}
    many = value.get("plural")
    return Text(
        str(value["template"]),
        {
            str(name): from_json(item) if isinstance(item, Mapping) and "template" in item else item
            for name, item in params.items()
        },
        None if many is None else str(many),
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
