"""A folder that names must stay in, with something worth stealing around it."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

MARK = "canary-beside-the-folder"
CORPUS = Path(__file__).with_name("paths.txt")


def corpus() -> list[tuple[str, str]]:
    """(class, name) of every line."""
    lines = [line for line in CORPUS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return [(kind, ast.literal_eval(literal)) for kind, literal in (line.split(maxsplit=1) for line in lines)]


REFUSED = [name for kind, name in corpus() if kind == "refused"]
KEPT = [name for kind, name in corpus() if kind == "kept"]


def some(names: list[str], start: int = 0) -> list[str]:
    """All of them in `make security`; in an ordinary run one in five, of every kind, and others at another `start`."""
    return names if os.environ.get("PEARL_SECURITY_ALL") == "1" else names[start % 5 :: 5]


class Yard:
    """`inside` is where names may lead; everything else of `root` must stay as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inside = root / "a" / "b" / "inside"
        self.inside.mkdir(parents=True)
        for folder in (root, root / "a", root / "a" / "b"):
            for name in ("secret.key", "pearl.db", "x", "passwd", "order.json"):
                (folder / name).write_text(MARK)
        for folder in (root / "etc", root / "a" / "etc"):
            folder.mkdir()
            (folder / "passwd").write_text(MARK)
        self._before = self._look()

    def _look(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Everything but what is inside: kind and mode, time of change, and content."""
        found = {}
        for folder, names, files in os.walk(self.root):
            names[:] = [name for name in names if Path(folder, name) != self.inside]
            for name in [*names, *files]:
                path = Path(folder, name)
                seen = path.lstat()
                content = path.read_bytes() if stat.S_ISREG(seen.st_mode) else b""
                changed_ns = seen.st_mtime_ns if stat.S_ISREG(seen.st_mode) else 0
                found[str(path)] = (seen.st_mode, seen.st_nlink, changed_ns, content)
        return found

    def check(self, name: object) -> None:
        """Nothing outside was made, changed, linked or removed."""
        now = self._look()
        assert now == self._before, (name, set(now) ^ set(self._before))
