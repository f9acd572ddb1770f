"""The open shells of this server: their output until somebody reads it, and how they end.

A shell belongs to the server that opened it and to the person who did. It ends when its command does, when its attempt stops, when
nobody has read it for a while, or when the server ends.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import Conflict, TooMany
from pearlstreet.base.text import text
from pearlstreet.compute.engines.shells import Shell, ShellOrder

SHELLS_MAX = 64
SHELLS_PER_USER_MAX = 8
CONNECTIONS_MAX = 256
CONNECTIONS_PER_USER_MAX = 64
BUFFER_BYTES = 256 << 10
"""Output kept for the reader; a command that writes more waits until it is read."""
PART_BYTES = 64 << 10
PUMP_S = 0.5
WAIT_S = 0.02
UNREAD_S = 60.0
"""Time without a reader after which a shell is closed, and for which an ended one is kept."""
INPUT_WITHIN_S = 5.0


class OpenShell:
    """One open shell: its command, its output since the last acknowledged position, and how it ended."""

    def __init__(
        self, shell_id: str, job_id: str, rank: int, user: str, order: ShellOrder, clock: Clock
    ) -> None:
        self.id, self.job_id, self.rank, self.user, self.order = shell_id, job_id, rank, user, order
        self._clock = clock
        self.exit_code: int | None = None
        self.is_over = False
        self._on_change: tuple[Callable[[], None], ...] = ()
        self._shell: Shell | None = None
        self._output = bytearray()
        self._base = 0
        self._taken = 0
        """Bytes of input that the command has taken."""
        self._buffered = threading.Condition()
        self._writing = threading.Lock()
        self._seen_s = self._clock.monotonic_s()
        self._closed = threading.Event()

    @property
    def is_forgotten(self) -> bool:
        """Whether it has ended and nobody has asked for it for a while."""
        return self.is_over and self._clock.monotonic_s() - self._seen_s > UNREAD_S

    def start(self, shell: Shell, stopping: threading.Event) -> None:
        """Read the shell's output in a thread until its end, or until `stopping`."""
        self._shell = shell
        arguments = (shell, stopping)
        threading.Thread(target=self._pump, args=arguments, name=f"shell {self.id}", daemon=True).start()

    def _pump(self, shell: Shell, stopping: threading.Event) -> None:
        try:
            while (
                not (stopping.is_set() or self._closed.is_set())
                and self._clock.monotonic_s() - self._seen_s < UNREAD_S
            ):
                with self._buffered:
                    if len(self._output) >= BUFFER_BYTES and not self._buffered.wait(PUMP_S):
                        continue
                part = shell.read(PART_BYTES, PUMP_S)
                if part is None:
                    break
                if part:
                    with self._buffered:
                        self._output += part
                    self._tell_readers()
            self.exit_code = self._exit_code(shell)
        finally:
            shell.close()
            self.is_over = True
            self._seen_s = self._clock.monotonic_s()
            self._tell_readers()

    @contextlib.contextmanager
    def calling_on_change(self, wake: Callable[[], None]) -> Iterator[None]:
        """Within the context, call `wake` from another thread when there is output to read or the command has ended."""
        with self._buffered:
            self._on_change = (*self._on_change, wake)
        try:
            yield
        finally:
            with self._buffered:
                self._on_change = tuple(one for one in self._on_change if one is not wake)

    def _tell_readers(self) -> None:
        for wake in self._on_change:
            wake()

    def _exit_code(self, shell: Shell) -> int | None:
        """Return the exit code, which comes a moment after the end of the output; None: it still runs, or was closed."""
        until_s = self._clock.monotonic_s() + PUMP_S
        while (code := shell.exit_code()) is None and self._clock.monotonic_s() < until_s:
            self._clock.sleep(0.005)
        return code

    def read(self, offset: int) -> tuple[int, bytes]:
        """Return a part of the output and the position of its first byte: `offset`, or that of the oldest kept byte.

        While the command runs, the bytes before `offset` are deleted: their reader has them.
        """
        self._seen_s = self._clock.monotonic_s()
        with self._buffered:
            known = min(max(offset - self._base, 0), len(self._output))
            if not self.is_over:  # what an ended command left can be read again
                del self._output[:known]
                self._base, known = self._base + known, 0
                self._buffered.notify_all()
            return self._base + known, bytes(self._output[known : known + PART_BYTES])

    def wait(self, timeout_s: float, limit: int) -> tuple[bytes, bool]:
        """Return the output up to the command's end, for `timeout_s` and `limit` bytes at most, and whether it has ended."""
        found, until_s = b"", self._clock.monotonic_s() + timeout_s
        while self._clock.monotonic_s() < until_s and len(found) < limit:
            is_over = self.is_over  # before the read: what came before the end is read
            _, data = self.read(len(found))
            found += data
            if not data and is_over:
                return found, True
            if not data:
                self._clock.sleep(WAIT_S)
        return found[:limit], False

    def write(self, offset: int, data: bytes, *, is_last: bool) -> int:
        """Give the command the bytes of its input from position `offset` on; return how many bytes it has taken in all.

        Bytes that it took before are skipped, so that a request can be repeated. Raises Conflict if bytes before `offset` are missing.
        """
        self._seen_s = self._clock.monotonic_s()
        with self._writing:
            if offset > self._taken:
                raise Conflict(
                    text(
                        "Input was given from byte {offset} on, but only {taken} bytes came before",
                        offset=offset,
                        taken=self._taken,
                    )
                )
            shell, left = self._shell, data[self._taken - offset :]
            until_s = self._clock.monotonic_s() + INPUT_WITHIN_S
            while left and shell is not None and not self.is_over and self._clock.monotonic_s() < until_s:
                count = shell.write(left, PUMP_S)
                left, self._taken = left[count:], self._taken + count
            if is_last and not left and shell is not None:
                shell.end_input()
            return self._taken

    def resize(self, columns: int, rows: int) -> None:
        """Tell the command the size of its terminal."""
        self._seen_s = self._clock.monotonic_s()
        if self._shell is not None:
            self._shell.resize(columns, rows)

    def close(self) -> None:
        """End the command; the thread that reads it notices."""
        self._closed.set()


class OpenShells:
    """The open shells of this server, by id."""

    def __init__(self, most: int = SHELLS_MAX, per_user: int = SHELLS_PER_USER_MAX) -> None:
        self._most, self._per_user = most, per_user
        self._shells: dict[str, OpenShell] = {}
        self._seen_s: dict[tuple[object, ...], float] = {}
        self._guard = threading.Lock()

    def is_new_target(self, target: tuple[object, ...], clock: Clock, within_s: float) -> bool:
        """Return whether a target is asked for that was not asked for within that time, and note it."""
        now_s = clock.monotonic_s()
        with self._guard:
            self._seen_s = {one: at_s for one, at_s in self._seen_s.items() if now_s - at_s < within_s}
            if target in self._seen_s:
                return False
            self._seen_s[target] = now_s
            return True

    def add(self, shell: OpenShell) -> None:
        """Keep a shell. Raises TooMany if its user, or all users together, have too many shells open."""
        with self._guard:
            self._shells = {one: kept for one, kept in self._shells.items() if not kept.is_forgotten}
            running = [one for one in self._shells.values() if not one.is_over]
            mine = sum(one.user == shell.user for one in running)
            if mine >= self._per_user:
                raise TooMany(
                    text("You have {count} open, the most a user may have", count=mine),
                    hint=text("Leave one of them: exit, or Ctrl-D"),
                )
            if len(running) >= self._most:
                raise TooMany(
                    text("The center has {count} open, the most it allows", count=len(running)),
                    retry_after_s=30,
                )
            self._shells[shell.id] = shell

    def drop(self, shell: OpenShell) -> None:
        """Forget a shell that could not be opened."""
        with self._guard:
            self._shells.pop(shell.id, None)

    def get(self, shell_id: str) -> OpenShell | None:
        """Return a shell by id."""
        return self._shells.get(shell_id)
