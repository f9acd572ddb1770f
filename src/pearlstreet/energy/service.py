"""Commands and queries on the facts of the site and on hourly series.

What other packages call: `read_facts` inside a transaction (or `facts_between` with a store), then `rules.footprint`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, Gathered, InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.energy.checking import check_origin, problems_of
from pearlstreet.energy.documents import from_row, to_document
from pearlstreet.energy.hours import add_hours, find_series, read_hours, series_of
from pearlstreet.energy.model import (
    HOUR_US,
    Carbon,
    Facts,
    FactsWish,
    Hourly,
    Hours,
    Origin,
    Series,
    SeriesKind,
    SiteFacts,
    Tariff,
)
from pearlstreet.energy.series import read_series
from pearlstreet.energy.tables import energy_facts, energy_series
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.names import check_label

READ, WRITE = "energy:read", "energy:write"
_DAY_US = 24 * HOUR_US
SHOWN_DAYS = 400
"""Largest number of days whose hours one request returns."""
SERIES_MOST = 200


def set_facts(store: Store, actor: Actor, wish: FactsWish, unread: Sequence[Problem] = ()) -> SiteFacts:
    """Set a new version. One that is to hold from a time in the past counts for what is reckoned from now on; issued
    invoices stay as they are. Raises InvalidInput with everything that is wrong, Forbidden.

    `unread`: problems of fields that could not be parsed; `wish` holds placeholders for them.
    """
    actor.require(WRITE)

    def command(tx: Tx) -> SiteFacts:
        found = _checked(tx, wish, unread)
        number = (tx.scalar(sa.select(sa.func.max(energy_facts.c.number))) or 0) + 1
        row = {
            "number": number,
            "valid_from_us": tx.now_us if wish.valid_from_us is None else wish.valid_from_us,
            "document": to_document(found),
            "set_by": actor.label[:80],
            "set_us": tx.now_us,
        }
        tx.execute(sa.insert(energy_facts).values(**row))
        audit.record(
            tx,
            actor=actor.label,
            action="energy.set",
            target=f"facts {number}",
            details={"valid_from_us": row["valid_from_us"], **to_document(found)},
        )
        return from_row(row)

    return store.write(command)


def _checked(tx: Tx, wish: FactsWish, unread: Sequence[Problem]) -> FactsWish:
    """Return the facts with their series by id. Raises InvalidInput."""
    known = {one.field.partition("[")[0] if one.field.endswith("]") else one.field for one in unread}
    wrong = Gathered([*unread, *(one for one in problems_of(wish, tx.now_us) if one.field not in known)])
    found = replace(
        wish,
        tariff=wrong.read(lambda: _named_tariff(tx, wish.tariff), wish.tariff),
        carbon=wrong.read(lambda: _named_carbon(tx, wish.carbon), wish.carbon),
    )
    if wrong.problems:
        raise InvalidInput(text("The facts of the site are not usable"), problems=wrong.problems)
    return found


def list_facts(
    store: Store, actor: Actor, *, before: int | None = None, limit: int = 100
) -> Sequence[SiteFacts]:
    """Return versions, newest first, before the number `before`."""
    actor.require(READ)
    query = sa.select(energy_facts).order_by(energy_facts.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(energy_facts.c.number < before)
    return [from_row(row) for row in store.read(lambda tx: tx.rows(query))]


def current_facts(store: Store, actor: Actor) -> SiteFacts | None:
    """Return the version that holds now; None: no facts are set."""
    actor.require(READ)
    return store.read(lambda tx: Facts(_versions(tx, tx.now_us + 1)).at(tx.now_us))


def read_facts(tx: Tx, start_us: int, end_us: int) -> Facts:
    """Return the facts that `rules.footprint` needs between two moments. No actor: everyone may know the site's facts."""
    versions = _versions(tx, end_us)
    ids = set().union(*(version.series for version in versions))
    if not ids:
        return Facts(versions)
    rows = tx.rows(sa.select(energy_series).where(energy_series.c.id.in_(sorted(ids))))
    return Facts(versions, {row["id"]: read_hours(tx, series_of(row), start_us, end_us) for row in rows})


def facts_between(store: Store, actor: Actor, start_us: int, end_us: int) -> Facts:
    """Return `read_facts` in a read transaction of its own. Raises Forbidden."""
    actor.require(READ)
    return store.read(lambda tx: read_facts(tx, start_us, end_us))


@dataclass(frozen=True, slots=True)
class Import:
    """A CSV file of hours. To a series that exists its origin may be left empty."""

    name: str
    kind: SeriesKind
    csv: str
    source: str = ""
    as_of: str = ""
    column: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import."""

    series: Series
    added: int
    """Hours that were new; the rest of the file was known already."""


def import_series(store: Store, actor: Actor, wish: Import) -> Imported:
    """Make a series from CSV, or add hours to the one of that name. Raises InvalidInput (with lines), Conflict."""
    actor.require(WRITE)
    name = check_label(wish.name, "name", 80)
    if not name:
        raise InvalidInput(
            text("The series cannot be read"), problems=[Problem("name", text("A series has a name"))]
        )
    values = read_series(wish.csv, wish.kind, column=wish.column, unit=wish.unit)

    def command(tx: Tx) -> Imported:
        series = _series_for(tx, actor, wish, name)
        added = add_hours(tx, series, values)
        grown = replace(
            series,
            hours=series.hours + added,
            first_us=min(series.first_us, min(values) * HOUR_US),
            until_us=max(series.until_us, (max(values) + 1) * HOUR_US),
        )
        tx.execute(
            sa.update(energy_series)
            .where(energy_series.c.id == series.id)
            .values(hours=grown.hours, first_us=grown.first_us, until_us=grown.until_us)
        )
        details = {"name": name, "kind": grown.kind.value, "added": added, "source": grown.origin.source}
        audit.record(tx, actor=actor.label, action="energy.import", target=series.id, details=details)
        return Imported(grown, added)

    return store.write(command)


def _series_for(tx: Tx, actor: Actor, wish: Import, name: str) -> Series:
    """Return the series of that name, or a new one without hours."""
    row = tx.first(sa.select(energy_series).where(energy_series.c.name == name))
    if row is not None:
        found = series_of(row)
        if found.kind is not wish.kind:
            raise Conflict(
                text(
                    "The series {name} holds {kind}, not {wanted}",
                    name=name,
                    kind=found.kind,
                    wanted=wish.kind,
                )
            )
        return found
    origin = Origin(wish.source.strip(), wish.as_of.strip())
    problems = [
        replace(problem, field=problem.field.removeprefix("series."))
        for problem in check_origin(origin, "series")
    ]
    if problems:
        raise InvalidInput(text("The series cannot be read"), problems=problems)
    if (tx.scalar(sa.select(sa.func.count()).select_from(energy_series)) or 0) >= SERIES_MOST:
        raise Conflict(text("There are {count} series already", count=SERIES_MOST))
    made = Series(tx.new_id("ser"), name, wish.kind, origin, 0, 1 << 62, 0, actor.label[:80], tx.now_us)
    tx.execute(
        sa.insert(energy_series).values(
            id=made.id,
            name=name,
            kind=made.kind.value,
            origin={"source": origin.source, "as_of": origin.as_of},
            hours=0,
            first_us=made.first_us,
            until_us=0,
            made_by=made.made_by,
            made_us=made.made_us,
        )
    )
    return made


def list_series(store: Store, actor: Actor) -> Sequence[Series]:
    """Return every series, by name."""
    actor.require(READ)
    query = sa.select(energy_series).order_by(energy_series.c.name)
    return [series_of(row) for row in store.read(lambda tx: tx.rows(query))]


def series_hours(
    store: Store, actor: Actor, wanted: str, *, from_us: int | None = None, until_us: int | None = None
) -> tuple[Series, Hours]:
    """Return a series and its hours between two moments, its last days if none are named.

    Raises NotFound, InvalidInput.
    """
    actor.require(READ)

    def query(tx: Tx) -> tuple[Series, Hours]:
        series = find_series(tx, wanted)
        end_us = series.until_us if until_us is None else until_us
        start_us = max(end_us - 14 * _DAY_US, 0) if from_us is None else from_us
        if not 0 <= end_us - start_us <= SHOWN_DAYS * _DAY_US:
            message = text("At most {count} days are shown at once", count=SHOWN_DAYS)
            raise InvalidInput(message, problems=[Problem("from", message)])
        found = read_hours(tx, series, start_us, end_us, tail=False)
        inside = {hour: value for hour, value in found.values.items() if start_us <= hour * HOUR_US < end_us}
        return series, Hours(inside, found.known_until)

    return store.read(query)


def _versions(tx: Tx, before_us: int) -> tuple[SiteFacts, ...]:
    query = sa.select(energy_facts).where(energy_facts.c.valid_from_us < before_us)
    return tuple(from_row(row) for row in tx.rows(query.order_by(energy_facts.c.number)))


def _named_tariff(tx: Tx, tariff: Tariff | None) -> Tariff | None:
    if tariff is None or not isinstance(tariff.rule, Hourly) or not tariff.rule.series_id:
        return tariff
    return replace(tariff, rule=_named(tx, tariff.rule, SeriesKind.PRICE, "tariff.series"))


def _named_carbon(tx: Tx, carbon: Carbon | None) -> Carbon | None:
    if carbon is None or not isinstance(carbon.rule, Hourly) or not carbon.rule.series_id:
        return carbon
    return replace(carbon, rule=_named(tx, carbon.rule, SeriesKind.CARBON, "carbon.series"))


def _named(tx: Tx, rule: Hourly, kind: SeriesKind, field: str) -> Hourly:
    """Return the series meant, by its id. Raises InvalidInput."""
    try:
        series = find_series(tx, rule.series_id)
    except NotFound as error:
        problem = Problem(field, error.message, hint=error.hint)
        raise InvalidInput(text("The facts of the site are not usable"), problems=[problem]) from None
    if series.kind is not kind:
        message = text(
            "The series {name} holds {kind}, not {wanted}", name=series.name, kind=series.kind, wanted=kind
        )
        raise InvalidInput(text("The facts of the site are not usable"), problems=[Problem(field, message)])
    return Hourly(series.id)
