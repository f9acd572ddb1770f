"""The center's minimum isolation: nodes below it take no jobs, and submits are refused if no node reaches it."""

from __future__ import annotations

from collections.abc import Sequence

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.isolation import Isolation, is_enough, strongest
from pearlstreet.compute.pool.inventory import Node, all_nodes
from pearlstreet.store.core import Tx

CODE = "isolation"
"""Reason code of jobs that wait because no node isolates jobs strongly enough."""
RESTORE = text("Its operators must restore the isolation of a node; pearl nodes says what is missing")


def nodes_below(tx: Tx, minimum: Isolation) -> tuple[list[Node], bool]:
    """Return the present nodes that isolate jobs less than `minimum`, and whether all present nodes do."""
    if minimum == "none":
        return [], False
    present = [node for node in all_nodes(tx) if node.present]
    below = [node for node in present if not is_enough(node.report.isolation, minimum)]
    return below, bool(below) and len(below) == len(present)


def no_node_left(below: Sequence[Node], minimum: Isolation) -> Text:
    """Return the sentence that no node may run any job."""
    best = strongest([node.report.isolation for node in below])
    if best == "none":
        return text(
            "This center demands that jobs are isolated by {minimum}, and no node isolates them",
            minimum=minimum,
        )
    return text(
        "This center demands that jobs are isolated by {minimum}; its nodes isolate them by {level} at most",
        minimum=minimum,
        level=best,
    )


def some_left_out(below: Sequence[Node], minimum: Isolation) -> Text:
    """Return the sentence that some nodes take no jobs."""
    names = ", ".join(node.report.name for node in below[:3]) + (", …" if len(below) > 3 else "")
    if len(below) == 1:
        return text(
            "Node {names} takes no jobs: it isolates them less than {minimum}", names=names, minimum=minimum
        )
    return text(
        "{count} nodes take no jobs, because they isolate them less than {minimum}: {names}",
        count=len(below),
        minimum=minimum,
        names=names,
    )


def refuse_without_isolation(tx: Tx, minimum: Isolation) -> None:
    """Raise Conflict for a submit while no node isolates jobs as strongly as the center demands."""
    below, all_below = nodes_below(tx, minimum)
    if all_below:
        raise Conflict(
            no_node_left(below, minimum),
            hint=RESTORE,
        )
