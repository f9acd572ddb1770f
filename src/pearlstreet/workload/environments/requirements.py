"""PURE: checks packages named by tenants: names with versions (PEP 508), no options, paths or URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement

from pearlstreet.base.text import Text, text

PACKAGE_MAX = 500
REQUIREMENTS_MAX = 64 << 10
"""Maximum characters of a requirements text, well below the limit of one command-line argument (128 KiB)."""
LINES_MAX = 2000

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[= ]\s*sha(?:256|384|512):[0-9a-fA-F]{64,128}(?=\s|$)")
_PATH = re.compile(r"^(\.{0,2}/|~|[A-Za-z]:\\)|\.(whl|zip|tar\.gz)$")


@lru_cache(maxsize=4096)
def package_problem(package: str) -> Text | None:
    """Return what is wrong with a package; None if it is allowed. Results are cached, since jobs name the same packages."""
    value = package.strip()
    if not value:
        return text("The package is empty")
    if len(value) > PACKAGE_MAX:
        return text("The package is longer than {limit} characters", limit=PACKAGE_MAX)
    if any(character < " " or character == "\x7f" for character in value):
        return text("The package {package} contains a control character", package=ascii(value[:60]))
    if value.startswith("-"):
        return text("{option} is an option; only packages may be listed here", option=value.split()[0][:60])
    if "://" in value or " @ " in value or re.match(r"^[\w.\[\],-]+@", value):
        return text(
            "{package} comes from an address; only packages of the center's index may be listed",
            package=value[:80],
        )
    if _PATH.search(value.split(";")[0].strip()):
        return text("{package} is a path; put local code in files instead", package=value[:80])
    try:
        requirement = Requirement(value)
    except InvalidRequirement:
        return text("{package} is not a package such as numpy or torch==2.9", package=ascii(value[:80]))
    if requirement.url is not None:
        return text(
            "{package} comes from an address; only packages of the center's index may be listed",
            package=value[:80],
        )
    return None


def requirement_lines(requirements: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of every line that names a package; continued lines are joined, comments removed."""
    joined, first = "", 0
    for number, line in enumerate(requirements.splitlines(), start=1):
        first = first or number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        cleaned = _COMMENT.sub("", joined + line).strip()
        if cleaned:
            yield first, cleaned
        joined, first = "", 0
    if joined.strip():
        yield first, joined.strip()


def requirements_problems(requirements: str) -> Iterator[tuple[int, Text]]:
    """Yield line number and problem of each invalid line of a requirements text."""
    for count, (number, line) in enumerate(requirement_lines(requirements)):
        if count >= LINES_MAX:
            yield number, text("More than {limit} packages are listed", limit=LINES_MAX)
            return
        problem = package_problem(_HASH.sub("", line))
        if problem is not None:
            yield number, problem
