"""`Shells`: commands run inside the tasks of running jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pearlstreet.client.noun import PREFIX, Noun, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results

INPUT_BYTES = 64 << 10


class Shells(Noun):
    """Open, read, write, resize, close."""

    def open(
        self,
        job: str,
        command: Sequence[str] = (),
        *,
        rank: int | None = None,
        terminal: bool = False,
        columns: int | None = None,
        rows: int | None = None,
        term: str | None = None,
    ) -> results.Shell:
        """Run a command inside a task of a running job; without one a shell, which is useful on a terminal."""
        body = given(rank=rank, columns=columns, rows=rows, term=term)
        body |= {"command": list(command), "terminal": terminal}
        found: results.Shell = self._send("POST", at("jobs", job, "shells"), body)
        return found

    def connect(self, job: str, port: str = "", *, rank: int | None = None) -> results.Shell:
        """Open a connection to a port of a running service; it is read, written and closed as a shell."""
        found: results.Shell = self._send(
            "POST", at("jobs", job, "connections"), {"port": port} | given(rank=rank)
        )
        return found

    def get(self, job: str, shell: str) -> results.Shell:
        """Return a shell: whether its command has ended, and its exit code."""
        found: results.Shell = self._get(at("jobs", job, "shells", shell))
        return found

    def output(self, job: str, shell: str, *, offset: int = 0) -> Iterator[bytes]:
        """Yield what the command writes, from `offset` on, until its end. Raises Unreachable if the connection breaks."""
        path = PREFIX + at("jobs", job, "shells", shell, "output")
        with self._transport.stream(path, {"offset": offset}) as answer:
            yield from answer.iter_bytes()

    def write(self, job: str, shell: str, data: bytes, *, offset: int, end: bool = False) -> int:
        """Give the command input that begins at `offset` of all its input; return the offset up to which it took it."""
        answer = self._transport.request(
            "POST",
            PREFIX + at("jobs", job, "shells", shell, "input"),
            content=data,
            params={"offset": offset, "end": str(end).lower()},
            headers={"content-type": "application/octet-stream"},
        )
        return int(answer.json()["offset"])

    def resize(self, job: str, shell: str, columns: int, rows: int) -> results.Shell:
        """Tell the command the size of its terminal."""
        body = {"columns": columns, "rows": rows}
        found: results.Shell = self._send("PUT", at("jobs", job, "shells", shell, "size"), body)
        return found

    def close(self, job: str, shell: str) -> results.Shell:
        """End the command; the job goes on."""
        found: results.Shell = self._send("DELETE", at("jobs", job, "shells", shell))
        return found
