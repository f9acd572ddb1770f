"""Every message template in the product: given to text() or plural(), through a function of ours, or out of a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.tidy.source import modules

TEXT_HOME = "base/text.py"


@dataclass(frozen=True)
class Message:
    """A template, its place in the code, and the names it is given there (None: not known at that place)."""

    place: str
    template: str
    given: frozenset[str] | None
    plural: str | None = None
    """Template for every count but 1."""


@dataclass(frozen=True)
class _Forwarder:
    """A function that hands parameters on to text() or plural(): one template, or that for 1 and that for more."""

    name: str
    index: int
    parameters: tuple[str, ...]


def messages() -> list[Message]:
    """All templates that can be found."""
    forwarders = set(_forwarders())
    tables = {_table_of(call) for _, call in hidden_calls()} - {None}
    found = []
    for path, tree in _rooms():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (templates := _literal_templates(node)):
                given = frozenset(word.arg for word in node.keywords if word.arg)
                spread = any(word.arg is None for word in node.keywords)
                found.append(
                    Message(f"{path}:{node.lineno}", templates[0], None if spread else given, *templates[1:])
                )
            elif isinstance(node, ast.Call):
                found += [
                    Message(f"{path}:{node.lineno}", templates[0], None, *templates[1:])
                    for templates in _forwarded(node, forwarders)
                ]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id in tables for target in targets):
                    values = [value for value in node.value.values if isinstance(value, ast.Constant)]
                    found += [Message(f"{path}:{value.lineno}", str(value.value), None) for value in values]
    return found


def hidden_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield calls of text() and plural() with something else than literals."""
    for path, tree in _rooms():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _template_arguments(node) and not _literal_templates(node):
                yield f"{path}:{node.lineno}", node


def untraceable() -> list[str]:
    """Return the calls of text() and plural() whose templates this module cannot find."""
    forwarded = {place for place, _ in _forwarding_calls()}
    return [place for place, call in hidden_calls() if place not in forwarded and _table_of(call) is None]


def _rooms() -> Iterator[tuple[str, ast.Module]]:
    return ((path, tree) for path, tree in modules().items() if path != TEXT_HOME)


def _template_arguments(node: ast.Call) -> list[ast.expr]:
    """Return the argument of text() that is the template, the two of plural(), none of another function."""
    name = node.func.id if isinstance(node.func, ast.Name) else None
    number = {"text": 1, "plural": 2}.get(name or "", 0)
    return node.args[:number] if len(node.args) >= number else []


def _literal_templates(node: ast.Call) -> list[str]:
    """Return the templates of a call of text() or plural() if they are literals."""
    return _literals(_template_arguments(node))


def _literals(values: list[ast.expr]) -> list[str]:
    constants = [
        value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return constants if len(constants) == len(values) else []


def _table_of(call: ast.Call) -> str | None:
    """Return `SCOPES` of text(SCOPES[scope])."""
    first = call.args[0]
    named = isinstance(first, ast.Subscript) and isinstance(first.value, ast.Name)
    return first.value.id if named else None  # type: ignore[union-attr]


def _forwarders() -> Iterator[_Forwarder]:
    return (forwarder for _, forwarder in _forwarding_calls())


def _forwarding_calls() -> Iterator[tuple[str, _Forwarder]]:
    for path, tree in _rooms():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
                for node in ast.walk(function):
                    values = _template_arguments(node) if isinstance(node, ast.Call) else []
                    handed_on = [value.id for value in values if isinstance(value, ast.Name)]
                    if handed_on and len(handed_on) == len(values) and set(handed_on) <= set(names):
                        index = names.index(handed_on[0])
                        if names[index : index + len(handed_on)] == handed_on:
                            forwarder = _Forwarder(function.name, index, tuple(handed_on))
                            yield f"{path}:{node.lineno}", forwarder


def _forwarded(node: ast.Call, forwarders: set[_Forwarder]) -> Iterator[list[str]]:
    """Yield the templates that a call gives to a forwarder."""
    called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
    for forwarder in forwarders:
        if forwarder.name != called:
            continue
        number = len(forwarder.parameters)
        by_name = [word.value for word in node.keywords if word.arg in forwarder.parameters]
        by_place = node.args[forwarder.index : forwarder.index + number]
        for values in (by_place, by_name):
            for choice in _choices(values):
                templates = _literals(choice)
                if len(templates) == number:
                    yield templates


def _choices(values: list[ast.expr]) -> list[list[ast.expr]]:
    """Return the arguments, or those of both cases of `"a" if … else "b"` if it is the only one."""
    if len(values) == 1 and isinstance(values[0], ast.IfExp):
        return [[values[0].body], [values[0].orelse]]
    return [values]
