"""Small wrong changes of a source file: one comparison, one condition, one number, one statement at a time.

PURE. Left out by rule, because nothing could notice them or only the wording would change: docstrings, type annotations,
arguments of `text(...)`, `Problem(...)`, `check(...)` after its first, log calls, hints of errors, code for type checkers,
and what stands outside of functions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

FLIPPED = {
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}  # fmt: skip
SWAPPED = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "//"), ast.FloorDiv: ("//", "*"), ast.Div: ("/", "*"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
}  # fmt: skip
FILTERS = frozenset({"where", "and_", "filter", "having"})
"""Calls whose arguments are conditions of a statement: each is left out once."""
WORDS = frozenset({"text", "Problem", "Text", "bug"})
"""Calls whose arguments are words for people."""
LOGS = frozenset({"log", "logger"})
CODE_AFTER_FIRST = frozenset({"check"})


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file: characters `start` to `end` become `replacement`."""

    file: str
    line: int
    start: int
    end: int
    replacement: str
    kind: str
    function: str
    """Qualified name of the function it stands in."""
    function_line: int
    """First line of that function, with its decorators."""

    @property
    def id(self) -> str:
        """A name that stays while the file does."""
        return f"{self.file}:{self.line}:{self.start}:{self.kind}"

    def apply(self, source: str) -> str:
        """The changed source; lines keep their numbers."""
        old = source[self.start : self.end]
        padding = "\n" * (old.count("\n") - self.replacement.count("\n"))
        return source[: self.start] + self.replacement + padding + source[self.end :]


def find_mutants(file: str, source: str) -> list[Mutant]:
    """Every mutant of a file, in the order of the text. Some may not compile; nothing counts those."""
    visitor = _Visitor(file, source)
    visitor.visit(ast.parse(source))
    return sorted(set(visitor.mutants))


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str, source: str) -> None:
        self.mutants: list[Mutant] = []
        self._file, self._source = file, source
        lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._lines = lines
        self._names: list[str] = []
        self._function: tuple[str, int] | None = None

    # -- where it stands

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.visit(statement)
        self._names.pop()

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if any("njit" in ast.dump(decorator) for decorator in node.decorator_list):
            return  # compiled code: its functions cannot be exchanged
        outer = self._function
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if outer is None:
            self._function = (".".join([*self._names, node.name]), first)
        for statement in node.body:
            if not _is_docstring(statement):
                self.visit(statement)
        self._function = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.generic_visit(node)

    # -- what is changed

    def visit_Compare(self, node: ast.Compare) -> None:
        left: ast.expr = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            old, new = FLIPPED[type(operator)]
            self._between(left, right, old, new, "compare")
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, old, new, "boolean")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in SWAPPED:
            old, new = SWAPPED[type(node.op)]
            self._between(node.left, node.right, old, new, "operator")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, f"({self._text(node.operand)})", "not")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value), "constant")
        elif isinstance(value, int):
            self._replace(node, str(value + 1), "constant")
        elif isinstance(value, str) and value and self._text(node)[:1] in "\"'":
            self._replace(node, repr(value + "XX"), "string")

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        return

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self._replace(node, "return None", "return")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass", "raise")
        if node.exc is not None and isinstance(node.exc, ast.Call):
            return  # the words of an error
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if _is_docstring(node) or _is_log(node.value):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._replace(node, "pass", "call")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node.func)
        if name in WORDS:
            return
        if name in FILTERS:
            for argument in node.args:
                if not isinstance(argument, ast.Starred):
                    self._replace(argument, "__import__('sqlalchemy').true()", "filter")
        arguments: Sequence[ast.AST] = node.args[:1] if name in CODE_AFTER_FIRST else node.args
        for inner in (node.func, *arguments, *(one for one in node.keywords if one.arg != "hint")):
            self.visit(inner)

    # -- how

    def _negate(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            self._replace(test, f"not ({self._text(test)})", "condition")

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str, kind: str) -> None:
        start, end = (
            self._offset(left.end_lineno, left.end_col_offset),
            self._offset(right.lineno, right.col_offset),
        )
        pattern = rf"\b{re.escape(old)}\b".replace(r"\ ", r"\s+") if old[0].isalpha() else re.escape(old)
        match = re.search(pattern, self._source[start:end])
        if match:
            self._add(left.end_lineno or 0, start + match.start(), start + match.end(), new, kind)

    def _replace(self, node: ast.AST, new: str, kind: str) -> None:
        start = self._offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = self._offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        self._add(node.lineno, start, end, new, kind)  # type: ignore[attr-defined]

    def _add(self, line: int, start: int, end: int, new: str, kind: str) -> None:
        if self._function is not None:
            name, first = self._function
            self.mutants.append(Mutant(self._file, line, start, end, new, kind, name, first))

    def _offset(self, line: int | None, column: int | None) -> int:
        """The character at a position that the parser gives in bytes of UTF-8."""
        assert line is not None and column is not None
        text = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(text)

    def _text(self, node: ast.expr) -> str:
        # ast.get_source_segment splits the whole source at each call: seconds for a file.
        start = self._offset(node.lineno, node.col_offset)
        return self._source[start : self._offset(node.end_lineno, node.end_col_offset)]


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_log(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in LOGS
    )


def _called(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
