"""The index of the search: written with a repository's name and front matter at once, with its card's text soon after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from pearlstreet.hub.access import visible_repos
from pearlstreet.hub.search.tokens import QueryTerm, fact, repo_terms
from pearlstreet.hub.tables import repos, terms
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor

_BEHIND = "\U0010ffff"
"""Sorts behind every character, so that a prefix is a range of terms."""
FACTS = ("task", "language", "licence")
VALUES_MAX = 100


def index_repo(tx: Tx, repo_id: str, name: str, card: Mapping[str, object], body: str = "") -> None:
    """Write the terms of a repository anew."""
    tx.execute(sa.delete(terms).where(terms.c.repo_id == repo_id))
    rows = [
        {"repo_id": repo_id, "term": term, "weight": weight}
        for term, weight in repo_terms(name, card, body).items()
    ]
    if rows:
        tx.execute(sa.insert(terms), rows)


def matches(term: QueryTerm) -> sa.ColumnElement[bool]:
    """Return the condition for the terms of the index that a term of a query means."""
    if not term.is_prefix:
        return terms.c.term == term.text
    return (terms.c.term >= term.text) & (terms.c.term < term.text + _BEHIND)


def has_term(term: QueryTerm) -> sa.ColumnElement[bool]:
    """Return the condition for repositories that have a term."""
    return repos.c.id.in_(sa.select(terms.c.repo_id).where(matches(term)))


def has_fact(name: str, value: str) -> sa.ColumnElement[bool]:
    """Return the condition for repositories with a fact: a `tag`, `task`, `language` or `licence`."""
    return has_term(QueryTerm(fact(name, value), is_prefix=False))


def relevance(wanted: Sequence[QueryTerm]) -> sa.Subquery:
    """Return for each `repo_id` the `weight` of all terms that a query means: most in names, then tags, then text."""
    found = sa.select(terms.c.repo_id, sa.func.sum(terms.c.weight).label("weight"))
    return found.where(sa.or_(*map(matches, wanted))).group_by(terms.c.repo_id).subquery("relevance")


def list_values(tx: Tx, actor: Actor, name: str) -> list[tuple[str, int]]:
    """Return the values of a fact among the repositories that the caller sees, the most frequent first."""
    start = fact(name, "")
    count = sa.func.count()
    query = (
        sa.select(terms.c.term, count.label("count"))
        .join(repos, repos.c.id == terms.c.repo_id)
        .where(terms.c.term >= start, terms.c.term < start + _BEHIND, visible_repos(actor))
        .group_by(terms.c.term)
        .order_by(count.desc(), terms.c.term)
        .limit(VALUES_MAX)
    )
    return [(row["term"][len(start) :], row["count"]) for row in tx.rows(query)]
