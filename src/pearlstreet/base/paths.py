"""Guard against path traversal: checks every file name that comes from outside. Pure: `store.files` opens the files.

Wrong names are refused, never repaired: two programs that repair a name differently let it escape its folder.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text

PATH_BYTES_MAX = 1024
PART_BYTES_MAX = 255
"""Largest size of one path component in bytes: NAME_MAX of Linux file systems."""
_DECODINGS_MAX = 4

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]"
)
_DRIVE = re.compile(r"^[A-Za-z]:")
_PERCENT_U = re.compile(r"%u[0-9a-fA-F]{4}")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_RESERVED = re.compile(
    r"^(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$", re.IGNORECASE
)
_MOUNT_PARTS = re.compile(r"(/[A-Za-z0-9._-]+)+")
_SYSTEM = frozenset(
    {
        "bin",
        "boot",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "pearl",
        "proc",
        "root",
        "run",
        "sbin",
        "sys",
        "tmp",
        "usr",
        "var",
    }
)
"""First components of the paths that the system uses inside a sandbox."""


def safe_relative(name: str, *, field: str = "path") -> PurePosixPath:
    """Return a relative path that cannot leave the folder it is opened in. Raises InvalidInput naming `field`."""
    problem = path_problem(name)
    if problem is not None:
        raise InvalidInput(problem, problems=[Problem(field, problem)])
    return PurePosixPath(name.removeprefix("./"))


def path_problem(name: str) -> Text | None:
    """Return what is wrong with a relative path, or None if it is safe. `.` alone means the folder itself."""
    if name in (".", "./"):
        return None
    if not name:
        return text("The path is empty")
    control = _CONTROL.search(name)
    if control is not None:
        return text("The path contains the character U+{code}", code=f"{ord(control.group()):04X}")
    if len(name) > PATH_BYTES_MAX or len(name.encode()) > PATH_BYTES_MAX:
        return text("The path is longer than {limit} bytes", limit=PATH_BYTES_MAX)
    if "\\" in name:
        return text("The path {path} contains a backslash; separate folders with /", path=name)
    if name.startswith("/"):
        return text("The path {path} is absolute; write it relative to the folder", path=name)
    if name.startswith(("~", "-")):
        return text("The path {path} begins with {character}", path=name, character=name[0])
    parts = name.removeprefix("./").removesuffix("/").split("/")
    for part in parts:
        problem = _part_problem(part, name)
        if problem is not None:
            return problem
    return _disguise_problem(name, len(parts))


def _part_problem(part: str, name: str) -> Text | None:
    if part == "..":
        return text("The path {path} leaves its folder (..)", path=name)
    if part in ("", "."):
        return text("The path {path} has an empty part", path=name)
    if _DRIVE.match(part):
        return text("The path {path} names a drive", path=name)
    if part[-1] in ". " or part[0] == " ":
        return text("In the path {path} a name begins with a space or ends with a dot or space", path=name)
    if _RESERVED.match(part):
        return text("The path {path} uses {name}, a name reserved on some systems", path=name, name=part)
    if len(part.encode()) > PART_BYTES_MAX:
        return text("In the path a name is longer than {limit} bytes", limit=PART_BYTES_MAX)
    return None


def _disguise_problem(name: str, parts: int) -> Text | None:
    """Return a problem if decoding %XX or normalising Unicode (NFKC) reveals separators or dots in the name."""
    problem = text("The path {path} hides a separator or a step upwards in an encoding", path=name)
    seen = name.removeprefix("./").removesuffix("/")
    for _ in range(_DECODINGS_MAX):
        folded = unicodedata.normalize("NFKC", seen)
        if _escapes(folded, parts) or _escapes(seen, parts) or _PERCENT_U.search(folded):
            return problem
        if not _PERCENT.search(folded):
            return None
        try:
            seen = unquote_to_bytes(folded).decode()
        except UnicodeDecodeError:
            return problem
    return problem


def _escapes(name: str, parts: int) -> bool:
    pieces = name.split("/")
    return (
        len(pieces) != parts
        or "\\" in name
        or _CONTROL.search(name) is not None
        or any(piece.strip(". ") == "" for piece in pieces)
    )


def mount_problem(path: str) -> Text | None:
    """Return what is wrong with an absolute path inside a sandbox, or None if data may be mounted there."""
    if _MOUNT_PARTS.fullmatch(path) is None or len(path) > PATH_BYTES_MAX:
        return text("{path} is not a plain absolute path such as /data/train", path=ascii(path[:80]))
    parts = path.split("/")[1:]
    if any(part.strip(".") == "" or part.endswith(".") for part in parts):
        return text("The path {path} leaves its folder (..)", path=path)
    if parts[0].lower() in _SYSTEM:
        return text("{path} belongs to the system; mount under /data, /mnt or /opt", path=path)
    return None
