"""Why is it waiting: one sentence for people, from the machine-readable reason."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.base.text import Text, text
from pearlstreet.compute.scheduling.plan import LOSES_MORE, PACKS_WORSE, SCORES_WORSE, Code, Reason

_MINUTE_US = 60_000_000
WHY_NOT: Mapping[str, Text] = {
    LOSES_MORE: text("the center could take less afterwards"),
    PACKS_WORSE: text("as good, but packed less tightly"),
    SCORES_WORSE: text("a higher score"),
}
"""Sentences that say why a node was not chosen, by the code of the alternative."""


def explain(reason: Reason, position: int, total: int, now_us: int) -> Text:
    """One sentence: why it waits, where it stands among `total` waiting jobs, what would help, when it may start."""
    if reason.code is Code.IMPOSSIBLE:
        return text("{why}. {unblock}.", why=reason.message, unblock=reason.unblock)
    if reason.start is None:
        return text(
            "{why}. Number {position} of {total} in line. {unblock}.",
            why=reason.message,
            position=position,
            total=total,
            unblock=reason.unblock,
        )
    if reason.start.guess:
        return text(
            "{why}. Number {position} of {total} in line. {unblock}: perhaps in {likely} min, as such jobs went before, "
            "hardly later than in {latest} min.",
            why=reason.message,
            position=position,
            total=total,
            unblock=reason.unblock,
            likely=_minutes(reason.start.likely_us, now_us),
            latest=_minutes(reason.start.latest_us, now_us),
        )
    return text(
        "{why}. Number {position} of {total} in line. {unblock}: in about {likely} min, at the latest in {latest} min.",
        why=reason.message,
        position=position,
        total=total,
        unblock=reason.unblock,
        likely=_minutes(reason.start.likely_us, now_us),
        latest=_minutes(reason.start.latest_us, now_us),
    )


def _minutes(at_us: int, now_us: int) -> int:
    """Return whole minutes from now, rounded up."""
    return max(0, -((now_us - at_us) // _MINUTE_US))
