"""Rendering of templates to HTML, with the values that all templates may use. Values are escaped unless they are Markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from jinja2 import Environment, PackageLoader, StrictUndefined, meta, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.base.durations import format_duration
from pearlstreet.base.errors import NotFound, PearlError, Problem
from pearlstreet.base.money import MICRO, Money, format_yuan, with_yuan_sign
from pearlstreet.base.text import Text
from pearlstreet.base.units import format_bytes
from pearlstreet.console import cookies
from pearlstreet.console.labels import ENDS, LABELS, TONES
from pearlstreet.console.page import ConsolePage, NavGroup, NavItem
from pearlstreet.console.page_request import PageRequest, View
from pearlstreet.console.statics import statics
from pearlstreet.tenancy.notices.inbox import count_unread

MACRO_FILES = {
    "ui": "ui.html",
    "tables": "jobs_table.html",
    "bill": "billing_tabs.html",
    "notes": "notice_tabs.html",
    "ops": "ops.html",
    "hubs": "hub_tabs.html",
    "inputs": "job_inputs.html",
    "offering": "quote_offers.html",
}
"""Name in templates → file of macros."""
LANGUAGES = (("en", "English"), ("zh-CN", "简体中文"))


class Renderer:
    """Renderer of one center's pages."""

    def __init__(self, pages: Sequence[ConsolePage], menu: Sequence[NavGroup]) -> None:
        self._pages = {page.path: page for page in pages}
        self._menu = menu
        self._macros: dict[str, tuple[str, ...]] = {}
        self._loader = PackageLoader("pearlstreet.console")
        self._templates = Environment(
            loader=self._loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=200,
        )
        self._templates.filters |= {
            "duration": _duration,
            "bytes": format_bytes,
            "yuan": yuan,
            "fen": fen,
            "cny": cny,
            "number": number,
            "percent": percent,
        }

    def render(
        self, request: PageRequest, page: ConsolePage | None, view: View, notice: Text | None
    ) -> bytes:
        """Return the HTML of a page, or only of the requested part. Raises NotFound for an unknown part."""
        template = self._templates.get_template(view.template)
        context = self._context(request, page, view, notice)
        for name in self._macros_of(view.template):
            context[name] = self._templates.get_template(MACRO_FILES[name]).make_module(context)
        if request.part is None:
            return template.render(context).encode()
        block = template.blocks.get(f"part_{request.part}")
        if block is None:
            raise NotFound(Text("There is nothing at {path}", {"path": request.path[:200]}))
        return "".join(block(template.new_context(context))).encode()

    def _macros_of(self, template: str) -> tuple[str, ...]:
        """Return the names of MACRO_FILES that a template needs, directly or indirectly; only these are instantiated."""
        if template not in self._macros:
            used, seen, to_read = set[str](), set[str](), [template]
            while to_read:
                file = to_read.pop()
                if file in seen:
                    continue
                seen.add(file)
                source, _, _ = self._loader.get_source(self._templates, file)
                parsed = self._templates.parse(source)
                names = meta.find_undeclared_variables(parsed) & MACRO_FILES.keys()
                used |= names
                to_read += [MACRO_FILES[name] for name in names]
                to_read += [one for one in meta.find_referenced_templates(parsed) if one is not None]
            self._macros[template] = tuple(name for name in MACRO_FILES if name in used)
        return self._macros[template]

    def _context(
        self, request: PageRequest, page: ConsolePage | None, view: View, notice: Text | None
    ) -> dict[str, object]:
        def translate(template: str, **params: object) -> str:
            return Text(template, params).render(request.language)

        def translate_count(one: str, many: str, count: float | str, **params: object) -> str:
            return Text(one, {"count": count, **params}, many).render(request.language)

        def label(value: object) -> str:
            found = LABELS.get(str(value))
            return found.render(request.language) if found is not None else str(value)

        return {
            "t": translate,
            "tn": translate_count,
            "say": request.say,
            "label": label,
            "tone": lambda value: TONES.get(str(value), "quiet"),
            "is_end": lambda value: str(value) in ENDS,
            "request": request,
            "page": page,
            "title": request.say(page.title) if page is not None else "",
            "visitor": request.actor.label.partition(" ")[0],
            "menu": self._visible_menu(request),
            "static": {name: file.url for name, file in statics().items()},
            "languages": LANGUAGES,
            "theme": theme_of(request),
            "form_token": cookies.form_token(request.credential) if request.credential else "",
            "fresh": request.store.rng.token_bytes(12).hex(),
            "notice": notice,
            "error": request.error,
            "problems": problems_by_field(request.error),
            "time": moment,
            "unread": count_unread(request.store, request.actor)
            if request.credential and request.part is None
            else 0,
            "now_us": request.store.clock.now_us(),
            **view.values,
        }

    def _visible_menu(self, request: PageRequest) -> list[tuple[Text, list[NavItem]]]:
        shown = []
        for group in self._menu:
            items = [item for item in group.items if self.is_open(request, item.path)]
            if items:
                shown.append((group.label, items))
        return shown

    def is_open(self, request: PageRequest, path: str) -> bool:
        """Return whether the visitor may open the page at `path`."""
        page = self._pages[path]
        if page.public:
            return True
        if not request.credential:
            return False
        if page.scope is None:
            return True
        return request.actor.may(page.scope) if page.at_center else page.scope in request.actor.all_scopes()


def theme_of(request: PageRequest) -> str:
    """Return the visitor's theme: `auto`, `light` or `dark`."""
    kept = request.cookies.get(cookies.THEME, "auto")
    return kept if kept in cookies.THEMES else "auto"


def problems_by_field(error: PearlError | None) -> Mapping[str, list[Problem]]:
    """Return the problems of each field."""
    by_field: dict[str, list[Problem]] = {}
    for problem in error.problems if error is not None else ():
        by_field.setdefault(problem.field, []).append(problem)
    return by_field


def moment(us: int | None, otherwise: str = "–") -> Markup | str:
    """Return a time in UTC as HTML; the page's script shows it in the browser's time zone."""
    if us is None:
        return otherwise
    exact = to_rfc3339(us // US_PER_S * US_PER_S)
    return Markup('<time datetime="{}">{} UTC</time>').format(exact, exact[:16].replace("T", " "))


@pass_context
def _duration(context: Context, seconds: float) -> str:
    language: str = context["request"].language
    return format_duration(seconds, language)


def yuan(value: Money | int) -> str:
    """Return an exact amount: `12,345.50`."""
    return format_yuan(value.micro if isinstance(value, Money) else value)


def fen(value: Money | int) -> str:
    """Return an amount rounded to fen, for overviews: `12,345.60`. Statements and invoices use `yuan`."""
    micro = value.micro if isinstance(value, Money) else value
    return f"{round(Decimal(micro) / MICRO, 2):,.2f}"


def cny(value: Money | int) -> str:
    """Return an amount rounded to fen with the sign of the yuan, for overviews: `¥12,345.60`, `-¥3.00`."""
    return with_yuan_sign(fen(value))


def number(value: float, digits: int = 1) -> str:
    """Return a number without trailing zeros: `12,345.6`."""
    shown = f"{value:,.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def percent(part: float, whole: float = 1.0) -> str:
    """Return `part` of `whole` as `12.3 %`; "–" if `whole` is 0."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
