"""Staying with a job until it has ended: what it waits for on standard error, what it writes on standard output."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from pearlstreet.cli.output import err, say, say_plural
from pearlstreet.client import results

if TYPE_CHECKING:
    from rich.status import Status

    from pearlstreet.client import Client, results

ENDED = frozenset({"succeeded", "failed", "cancelled"})
NOT_YET = frozenset({"queued", "placed", "starting"})
PAUSE_S = 0.3


class Waiting:
    """Status line of a wait: rewritten in place on a terminal, else printed at each change."""

    def __init__(self) -> None:
        self._said = ""
        self._status: Status | None = None

    def __enter__(self) -> Waiting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def say(self, words: str) -> None:
        """Show `words` until something else is said."""
        if words == self._said:
            return
        self._said = words
        shown = words.replace("[", "\\[")
        if not err.is_terminal:
            err.print(f"  {shown}", style="dim")
        elif self._status is None:
            self._status = err.status(shown)
            self._status.start()
        else:
            self._status.update(shown)

    def clear(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._said = ""


def follow_job(center: Client, job_id: str) -> results.Job:
    """Show changes of state and every attempt's log until the job has ended; answers the ended job."""
    from pearlstreet.client.client import patiently

    shown = None
    with Waiting() as waiting:
        while True:
            job = patiently(lambda: center.jobs.get(job_id))
            attempt = job["attempt_id"] if job["array_size"] is None else None
            if attempt not in (None, shown) and job["state"] not in NOT_YET:
                waiting.clear()
                shown = attempt
                show_log(center, job_id, attempt)
                continue
            if job["state"] in ENDED:
                return job
            if job["state"] in NOT_YET or job["array_size"] is not None or err.is_terminal:
                waiting.say(_words(center, job))
            time.sleep(PAUSE_S)


def show_log(
    center: Client, job_id: str, attempt: str | None = None, *, rank: int = 0, follow: bool = True
) -> None:
    """A task's log on standard output, byte for byte."""
    for part in center.jobs.logs(job_id, attempt=attempt, rank=rank, follow=follow):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _words(center: Client, job: results.Job) -> str:
    counts = job["counts"]
    if counts is not None:
        over = sum(counts.get(state, 0) for state in ENDED)
        return say_plural(
            "{over} of {count} element has ended; running: {running}",
            "{over} of {count} elements have ended; running: {running}",
            over=over,
            count=job["array_size"] or 0,
            running=counts["active"],
        )
    if job["state"] in NOT_YET:
        sentence = center.jobs.why(job["id"])["sentence"]
        return f"{say(job['state'])}: {sentence}"
    return say(job["state"])
