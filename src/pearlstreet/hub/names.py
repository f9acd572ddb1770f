"""PURE checks of names of repositories, branches and tags, and of paths in repositories."""

from __future__ import annotations

import re

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.paths import path_problem
from pearlstreet.base.text import Text, text

_REPO = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?")
_REF = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9_-])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def check_repo_name(name: str) -> str:
    """Return the name of a repository without its organisation. Raises InvalidInput."""
    if (
        _REPO.fullmatch(name)
        and "--" not in name
        and ".." not in name
        and not name.endswith((".git", ".lock"))
    ):
        return name
    raise _invalid(
        "name",
        text(
            "{name} is not a repository name: use up to 96 letters, digits, single inner - and ., and _",
            name=ascii(name[:100]),
        ),
    )


def check_ref_name(name: str) -> str:
    """Return the name of a branch or tag. Raises InvalidInput; a commit id is no name."""
    parts = name.split("/")
    fine = all(part and part[0] != "." and not part.endswith((".", ".lock")) for part in parts)
    if _REF.fullmatch(name) and fine and ".." not in name and not is_commit_id(name) and parts[0] != "refs":
        return name
    raise _invalid(
        "name",
        text(
            "{name} is not a name of a branch or tag: use up to 128 letters, digits, and inner . _ - /",
            name=ascii(name[:100]),
        ),
    )


def is_commit_id(value: str) -> bool:
    """Return whether the value has the form of a commit's id."""
    return _COMMIT.fullmatch(value) is not None


def check_file_path(path: str) -> str:
    """Return the path of a file in a repository. Raises InvalidInput."""
    problem = path_problem(path)
    if problem is None and (path in (".", "./") or path.startswith("./") or path.endswith("/")):
        problem = text("The path {path} is not the path of a file", path=path)
    if problem is None and path.split("/")[0].lower() in (".git", ".cache"):
        problem = text("The path {path} belongs to the tools of clients", path=path)
    if problem is not None:
        raise _invalid("path", problem)
    return path


def check_sha256(value: object) -> str:
    """Return a SHA-256 in lower-case hexadecimal. Raises InvalidInput."""
    if isinstance(value, str) and SHA256.fullmatch(value):
        return value
    raise _invalid("oid", text("{value} is not a SHA-256 in hexadecimal", value=ascii(str(value)[:80])))


def _invalid(field: str, message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem(field, message)])
