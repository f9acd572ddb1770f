"""Whether what a job writes is withheld from its owner, because it reads a repository that is used in jobs only."""

from __future__ import annotations

from pearlstreet.base.errors import Forbidden
from pearlstreet.base.text import Text, text
from pearlstreet.hub.approvals import find_withholding
from pearlstreet.store.core import Row, Tx


def withheld_by(tx: Tx, job: Row) -> str | None:
    """Return the name of the repository because of which everything that a job writes is withheld; None: nothing is."""
    return find_withholding(tx, job["array_id"] or job["id"])


def refuse_withheld(tx: Tx, job: Row) -> None:
    """Raise Forbidden if outputs, logs, metrics, checkpoints and connections of a job are withheld, from operators, too."""
    name = withheld_by(tx, job)
    if name is not None:
        raise Forbidden(withheld_text(name), hint=RELEASE)


def withheld_text(name: str) -> Text:
    """Return the sentence why a job's results are withheld."""
    return text(
        "Outputs, logs, metrics, checkpoints and shells of this job are withheld: it reads {name}, which is used in jobs only",
        name=name,
    )


RELEASE = text("Those who administer the repository decide what is released")
