"""Reads the docstrings of a class's attributes from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap


def attribute_docs(cls: type) -> dict[str, str]:
    """Return the docstring of each attribute of a class, as one line, by attribute name in the order of the source.

    An attribute without a docstring has "". Inherited attributes are left out. Raises OSError if the source cannot be
    read.
    """
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    if not isinstance(body, ast.ClassDef):
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
