"""Reads the docstrings of a class's attributes from its source."""

from __future__ import annotations

import ast
import functools
import inspect
import sys


def attribute_docs(cls: type) -> dict[str, str]:
    """Return the docstring of each attribute of a class, as one line, by attribute name in the order of the source.

    An attribute without a docstring has "". Inherited attributes are left out. Raises OSError if the source cannot be
    read.
    """
    body = _classes(cls.__module__).get(cls.__qualname__)
    if body is None:
        return {}
    docs: dict[str, str] = {}
    last = ""
    for statement in body.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
            docs[last] = ""
        elif last and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            docs[last] = " ".join(str(statement.value.value).split())
            last = ""
        else:
            last = ""
    return docs


@functools.lru_cache(maxsize=4)
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by qualified name. Modules of hundreds of classes are read once, not once a class."""
    found: dict[str, ast.ClassDef] = {}

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                found[prefix + statement.name] = statement
                walk(statement.body, f"{prefix}{statement.name}.")

    walk(ast.parse(inspect.getsource(sys.modules[module])).body, "")
    return found
