"""Every message template in the product: given to text() directly, through a function of ours, or out of a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.tidy.source import modules

TEXT_HOME = "base/text.py"


@dataclass(frozen=True)
class Message:
    """A template, where it stands, and the names it is given there (None: not known at that place)."""

    place: str
    template: str
    given: frozenset[str] | None


@dataclass(frozen=True)
class _Forwarder:
    """A function that hands its parameter on to text()."""

    name: str
    index: int
    parameter: str


def messages() -> list[Message]:
    """All templates that can be found."""
    forwarders = set(_forwarders())
    tables = {_table_of(call) for _, call in hidden_calls()} - {None}
    found = []
    for path, tree in _rooms():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_text(node) and isinstance(node.args[0], ast.Constant):
                given = frozenset(word.arg for word in node.keywords if word.arg)
                spread = any(word.arg is None for word in node.keywords)
                found.append(
                    Message(f"{path}:{node.lineno}", str(node.args[0].value), None if spread else given)
                )
            elif isinstance(node, ast.Call):
                found += [
                    Message(f"{path}:{node.lineno}", line, None) for line in _forwarded(node, forwarders)
                ]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id in tables for target in targets):
                    values = [value for value in node.value.values if isinstance(value, ast.Constant)]
                    found += [Message(f"{path}:{value.lineno}", str(value.value), None) for value in values]
    return found


def hidden_calls() -> Iterator[tuple[str, ast.Call]]:
    """Calls of text() with something else than a literal."""
    for path, tree in _rooms():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_text(node) and not isinstance(node.args[0], ast.Constant):
                yield f"{path}:{node.lineno}", node


def untraceable() -> list[str]:
    """Calls of text() whose template this module cannot find."""
    forwarded = {place for place, _ in _forwarding_calls()}
    return [place for place, call in hidden_calls() if place not in forwarded and _table_of(call) is None]


def _rooms() -> Iterator[tuple[str, ast.Module]]:
    return ((path, tree) for path, tree in modules().items() if path != TEXT_HOME)


def _is_text(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "text" and bool(node.args)


def _table_of(call: ast.Call) -> str | None:
    """`SCOPES` of text(SCOPES[scope])."""
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
                    if isinstance(node, ast.Call) and _is_text(node) and isinstance(node.args[0], ast.Name):
                        name = node.args[0].id
                        if name in names:
                            forwarder = _Forwarder(function.name, names.index(name), name)
                            yield f"{path}:{node.lineno}", forwarder


def _forwarded(node: ast.Call, forwarders: set[_Forwarder]) -> Iterator[str]:
    called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
    for forwarder in forwarders:
        if forwarder.name != called:
            continue
        by_name = [word.value for word in node.keywords if word.arg == forwarder.parameter]
        for value in [*node.args[forwarder.index : forwarder.index + 1], *by_name]:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value
