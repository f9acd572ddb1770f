"""Secrets, and hashes and signatures of them, are compared whole and in constant time: `hmac.compare_digest`, not `==`.

What is compared in SQL is a hash that is looked up by, and stays allowed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from tests.tidy.source import modules

ROOMS = ("api/", "console/", "tenancy/", "store/idempotency.py", "store/sealing.py")
SECRET = re.compile(
    r"(.*_)?(secret|token|digest|signature|mac|hmac|password|credential|challenge|verifier|nonce|binding|hash|form_token)"
)
ALLOWED = {
    ("console/pages/sign_in.py", "password"): "both were typed by the same person: was the same typed twice",
    ("console/statics.py", "digest"): "names a public file",
    ("tenancy/sessions.py", "password_hash"): "two reads of one row: was it changed in between",
}


def _name(node: ast.expr) -> str:
    """What a value is called: of `row["code_hash"][:4]` code_hash, of `digest(x)` digest."""
    match node:
        case ast.Subscript(value=value, slice=ast.Slice()):
            return _name(value)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(
            func=ast.Attribute(value=value, attr="encode" | "decode" | "hexdigest" | "strip" | "lower")
        ):
            return (
                "digest"
                if isinstance(node.func, ast.Attribute) and node.func.attr == "hexdigest"
                else _name(value)
            )
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name
        case ast.Call(func=func):
            return _name(func)
        case ast.BoolOp(values=[first, *_]):
            return _name(first)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name.removeprefix("_")
    return ""


def _is_column(node: ast.expr) -> bool:
    """`table.c.name`: the comparison is a condition of a query."""
    match node:
        case ast.Attribute(value=ast.Attribute(attr="c")) | ast.Attribute(value=ast.Name(id="c")):
            return True
    return False


def _strays(tree: ast.AST) -> Iterator[tuple[str, int, str]]:
    """(name, line, what is wrong) of comparisons that are neither constant in time nor whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if not any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops):
                continue
            if any(_is_column(side) or isinstance(side, ast.Constant) for side in sides):
                continue
            for name in map(_name, sides):
                if SECRET.fullmatch(name):
                    yield name, node.lineno, "compared with =="
        elif isinstance(node, ast.Call) and _name(node) == "compare_digest":
            for side in node.args:
                if any(isinstance(part, ast.Slice) for part in ast.walk(side)):
                    yield _name(side), node.lineno, "compared in part"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith")
            and SECRET.fullmatch(_name(node.func.value))
        ):
            yield _name(node.func.value), node.lineno, "compared in part"


def test_secrets_are_compared_whole_and_in_constant_time() -> None:
    strays, used = [], set()
    for path, tree in modules().items():
        if not path.startswith(ROOMS):
            continue
        for name, line, wrong in _strays(tree):
            if (path, name) in ALLOWED:
                used.add((path, name))
            else:
                strays.append(f"src/pearlstreet/{path}:{line} {name} is {wrong}")
    assert not strays, "use hmac.compare_digest, on the whole:\n" + "\n".join(strays)
    assert used == ALLOWED.keys(), f"allowed but not needed: {sorted(ALLOWED.keys() - used)}"


@pytest.mark.parametrize(
    "planted",
    [
        "digest(secret) == kept",
        "hashlib.sha256(x).hexdigest() != kept",
        'row["secret_hash"] == given',
        "self.form_token == token",
        "credentials.digest(secret)[:4] == kept[:4]",
        "hmac.compare_digest(digest(secret)[:4], kept[:4])",
        "kept_hash.startswith(given)",
        'claims.get("nonce") != nonce',
        "token in known_tokens",
    ],
)
def test_what_is_planted_is_seen(planted: str) -> None:
    assert list(_strays(ast.parse(planted)))


@pytest.mark.parametrize(
    "honest",
    [
        "hmac.compare_digest(digest(secret), kept)",
        "table.c.code_hash == _hash(code)",
        'token == ""',
        "kind == LINK",
    ],
)
def test_what_is_right_is_let_through(honest: str) -> None:
    assert not list(_strays(ast.parse(honest)))
