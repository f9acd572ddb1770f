"""Search of names and texts for the words of banned_words.toml, and lists of names to be read (`make tidy`)."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tidy.source import ROOT, files, modules

LIST = Path(__file__).parent / "banned_words.toml"
_TEXT_SUFFIXES = {".html", ".js", ".md", ".sh", ".toml"}
_OPENING = re.compile(
    r"(and|as|at|before|beneath|beside|between|but|by|for|from|in|into|of|on|or|that|then|through|to|under|with|within|without)\b",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a banned word: the pattern of the list, path, line, and the line's text."""

    pattern: str
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text.strip()[:100]}"


@functools.cache
def banned() -> dict[str, Any]:
    """Return the content of banned_words.toml."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def uses() -> dict[str, list[Use]]:
    """Return the lines of the checked files that use a banned word, by the pattern of the list.

    A line counts once for a pattern: Python 3.12 and later give the parts of an f-string as tokens of their own.
    """
    by_pattern: dict[str, dict[tuple[str, int], Use]] = defaultdict(dict)
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if not _is_checked(name):
            continue
        content = path.read_text(encoding="utf-8", errors="replace")
        pieces = python_pieces(content) if path.suffix == ".py" else enumerate(content.splitlines(), 1)
        for line, text in pieces:
            for pattern in matches(text):
                by_pattern[pattern].setdefault((name, line), Use(pattern, name, line, text))
    return {pattern: list(found.values()) for pattern, found in by_pattern.items()}


def matches(text: str) -> list[str]:
    """Return the patterns of the list that occur in `text`; most texts are passed by one search for all of them."""
    if not _any_pattern().search(text):
        return []
    return [pattern for pattern, search in _patterns().items() if search.search(text)]


def python_pieces(content: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each comment, line of a string and name of a Python file; names as separate words."""
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield from enumerate(token.string.splitlines(), token.start[0])
        elif token.type == tokenize.NAME:
            yield token.start[0], _CAMEL.sub(" ", token.string).replace("_", " ")


def refused_modules() -> list[str]:
    """Return the modules and packages of the product whose name is refused."""
    names = set(banned()["modules"]["names"])
    return sorted(path for path in modules() if names & set(path.removesuffix(".py").split("/")))


def shared_class_names() -> dict[str, list[str]]:
    """Return each public class name that several modules define, with these modules."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def gerund_modules() -> list[str]:
    """Return the modules in -ing whose name is not a noun of the field."""
    nouns = set(banned()["gerunds"]["field_nouns"])
    stems = {
        path: path.removesuffix(".py").rpartition("/")[2] for path in modules() if "/versions/" not in path
    }
    return sorted(path for path, stem in stems.items() if stem.endswith("ing") and stem not in nouns)


def fragments() -> list[str]:
    """Return the docstrings that open with a bare preposition or conjunction, with their places."""
    places = []
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for docstring in _docstrings(node.body):
                if _OPENING.match(docstring.value.value):
                    first = docstring.value.value.strip().splitlines()[0]
                    places.append(f"src/pearlstreet/{path}:{docstring.lineno}: {first[:90]}")
    return places


def _docstrings(body: list[ast.stmt]) -> Iterator[Any]:
    """Yield the docstring of a definition and those of its fields or constants."""
    for statement in body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                yield statement


def _is_checked(name: str) -> bool:
    if name == "Makefile":
        return True
    is_text = Path(name).suffix in _TEXT_SUFFIXES
    if "/" not in name:
        return is_text and name.endswith(".md") and name != "CHANGELOG.md"
    return name.split("/")[0] in ("src", "docs", "recipes") and (is_text or name.endswith(".py"))


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {pattern: re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern in banned()["words"]}


@functools.cache
def _any_pattern() -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in banned()["words"]), re.IGNORECASE)
