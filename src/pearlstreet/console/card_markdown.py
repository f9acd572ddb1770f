"""Markdown of cards as HTML: no HTML of the author's, and no link or image that the console's content policy would refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
"""Endings of files that are shown as images; SVG is not one of them, since it can hold scripts."""
NESTING_MAX = 20
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|\\")
_NOT_IN_ANCHOR = re.compile(r"[^\w-]+")
_ALIGNED = {"text-align:right": "num", "text-align:center": "mid"}


@dataclass(frozen=True, slots=True)
class CardLinks:
    """Where links of a card lead: to files of its repository at its revision."""

    repository: str
    """Path of the repository in the console."""
    rev: str

    def file(self, path: str) -> str:
        """Return the address of a file's page."""
        return f"{self.repository}/file?{urlencode({'rev': self.rev, 'path': path}, quote_via=quote)}"

    def image(self, path: str) -> str:
        """Return the address of a file's bytes."""
        return f"{self.repository}/raw?{urlencode({'rev': self.rev, 'path': path}, quote_via=quote)}"


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802  a name of the library
        """Return whether a link is kept for `_point`, which decides what becomes of it."""
        lowered = url.strip().lower()
        return lowered.startswith(("http://", "https://", "mailto:")) or not _SCHEME.match(lowered)


_PARSER = _Parser("commonmark", {"html": False, "maxNesting": NESTING_MAX}).enable(["table", "strikethrough"])


def render_card(markdown: str, links: CardLinks) -> Markup:
    """Return the HTML of a card. External images become their description: showing them would tell others who reads here."""
    tokens = _PARSER.parse(markdown)
    used: set[str] = set()
    for token, following in zip(tokens, [*tokens[1:], None], strict=False):
        if token.type in ("heading_open", "heading_close"):
            # The page has the one heading of the first level.
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
            if token.nesting == 1 and following is not None and (name := _anchor(following.content, used)):
                token.attrs["id"] = name
        elif token.type in ("th_open", "td_open"):
            # The content policy refuses style attributes.
            aligned = _ALIGNED.get(str(token.attrs.pop("style", "")))
            if aligned:
                token.attrs["class"] = aligned
        if token.children:
            token.children = list(_inline(token.children, links))
    html = RendererHTML().render(tokens, _PARSER.options, {})
    return Markup(_scrolling(html))  # noqa: S704  the parser escapes all text and makes no HTML of the author's


def _inline(tokens: Sequence[Token], links: CardLinks) -> Iterator[Token]:
    for token in tokens:
        if token.type == "link_open":
            _point(token, links)
        elif token.type == "image":
            path = _path(str(token.attrs.get("src", "")))
            if path is None or not path.lower().endswith(IMAGES):
                yield Token("text", "", 0, content=token.content)
                continue
            token.attrs = {"src": links.image(path), "alt": token.content, "loading": "lazy"}
        yield token


def _point(token: Token, links: CardLinks) -> None:
    """Let a link lead to a page of the repository, to a place of the card, or to another site that learns nothing of this one."""
    address = str(token.attrs.get("href", ""))
    path = _path(address)
    if _SCHEME.match(address):
        token.attrs = {"href": address, "rel": "nofollow noopener noreferrer"}
    elif address.startswith("#"):
        token.attrs = {"href": "#" + _name(unquote(address[1:]))}
    elif path:
        token.attrs = {"href": links.file(path)}
    else:
        token.attrs = {"href": links.repository}


def _path(address: str) -> str | None:
    """Return the path in the repository that a relative address names, or None."""
    if _SCHEME.match(address) or address.startswith("#"):
        return None
    parts: list[str] = []
    for part in unquote(address.partition("#")[0].partition("?")[0]).split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None


def _name(heading: str) -> str:
    """Return the id of a heading; the prefix keeps it apart from the page's own ids."""
    return "card-" + _NOT_IN_ANCHOR.sub("", heading.strip().lower().replace(" ", "-"))


def _anchor(heading: str, used: set[str]) -> str:
    name = _name(heading)
    if name in used:
        return ""
    used.add(name)
    return name


def _scrolling(html: str) -> str:
    """Return the HTML with tables that scroll on their own on narrow screens. Text cannot hold these tags unescaped."""
    return html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
