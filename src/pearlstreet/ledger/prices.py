"""Price lists: publishing, finding, and the example list of the first run. A published list never changes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, Problem
from pearlstreet.base.money import LIMIT_MICRO, format_yuan, parse_yuan
from pearlstreet.base.text import text
from pearlstreet.ledger import guards
from pearlstreet.ledger.pricing import PriceRule, PriceVersion
from pearlstreet.ledger.rules import KINDS
from pearlstreet.ledger.site import read_site
from pearlstreet.ledger.tables import price_rules, price_versions
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

NEEDED = (
    ("accelerator/*", "card_hour"),
    ("cpu", "core_hour"),
    ("memory", "gib_hour"),
    ("storage", "gib_month"),
)
"""Rules that every price list must have, so that every resource of the pool has a price."""

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_HEADER = re.compile(r"\s*\[\[\s*price\s*\]\]")
_INDEX = re.compile(r"price\[(\d+)\]")
_CURRENT = (
    sa.select(price_versions.c.id)
    .where(price_versions.c.valid_from_us <= sa.bindparam("now_us"))
    .order_by(price_versions.c.valid_from_us.desc(), price_versions.c.number.desc())
    .limit(1)
)
_known: WeakKeyDictionary[Engine, dict[str, PriceVersion]] = WeakKeyDictionary()


def current_prices(tx: Tx) -> PriceVersion:
    """Return the price list for jobs submitted now. Raises Conflict when no list is valid."""
    version_id = tx.execute(_CURRENT, {"now_us": tx.now_us}).scalar()
    if version_id is None:
        raise Conflict(
            text("No price list is valid now"),
            hint=text("An operator publishes one: pearl prices publish FILE"),
        )
    return prices(tx, version_id)


def prices(tx: Tx, version_id: str) -> PriceVersion:
    """Return a price list by its id, cached after the first read. Raises NotFound."""
    kept = _known.setdefault(tx.connection.engine, {})
    if version_id not in kept:
        kept[version_id] = load_prices(tx, version_id)
    return kept[version_id]


def list_prices(store: Store, actor: Actor) -> Sequence[PriceVersion]:
    """Return all price lists, newest first."""
    actor.require("prices:read")
    query = sa.select(price_versions.c.id).order_by(price_versions.c.number.desc())
    return store.read(lambda tx: [prices(tx, row["id"]) for row in tx.rows(query)])


def publish_prices(
    store: Store,
    actor: Actor,
    rules: Sequence[PriceRule],
    *,
    valid_from_us: int | None = None,
    note: str = "",
) -> PriceVersion:
    """Publish a price list, valid from now or later. Jobs submitted before keep their list. Raises InvalidInput."""
    actor.require("prices:write")
    check_rules(rules)

    def command(tx: Tx) -> PriceVersion:
        if valid_from_us is not None and valid_from_us < tx.now_us:
            raise InvalidInput(
                text("A price list cannot be valid from a time in the past"),
                hint=text("Leave valid_from out to publish it from now on"),
            )
        version = _write(tx, rules, valid_from_us or tx.now_us, note, actor.label)
        details = {"number": version.number}
        audit.record(tx, actor=actor.label, action="prices.publish", target=version.id, details=details)
        return version

    return store.write(command)


def ensure_default_prices(tx: Tx) -> PriceVersion:
    """Publish the example list unless a list exists, and install the triggers; called at every start.

    Returns the newest price list.
    """
    guards.install(tx.connection)
    newest_id = tx.scalar(sa.select(price_versions.c.id).order_by(price_versions.c.number.desc()).limit(1))
    if newest_id is not None:
        return prices(tx, newest_id)
    written = (resources.files("pearlstreet.ledger") / "default_prices.toml").read_text(encoding="utf-8")
    return _write(tx, parse_prices(written), 0, "example prices", "center")


def parse_prices(written: str) -> tuple[PriceRule, ...]:
    """Return the rules in a TOML price list: `[[price]] resource, kind, yuan, per`.

    Raises InvalidInput with the problems by rule and line.
    """
    try:
        rows = tomllib.loads(written).get("price", [])
    except tomllib.TOMLDecodeError as error:
        message = text("The price list is not TOML: {problem}", problem=str(error))
        place = _PLACE.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        raise InvalidInput(message, problems=[Problem("price", message, line=line, column=column)]) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(text("A price list is a series of [[price]] tables"))
    try:
        rules = tuple(_parse_rule(index, row) for index, row in enumerate(rows))
        check_rules(rules)
    except InvalidInput as error:
        raise InvalidInput(error.message, problems=_with_lines(error.problems, written)) from None
    return rules


def _with_lines(problems: Sequence[Problem], written: str) -> list[Problem]:
    """Return the problems, each with the first line of its rule."""
    starts = [number for number, line in enumerate(written.splitlines(), 1) if _HEADER.match(line)]
    located = []
    for problem in problems:
        index = _INDEX.match(problem.field)
        at = int(index[1]) if index else len(starts)
        located.append(replace(problem, line=starts[at]) if at < len(starts) else problem)
    return located


def write_prices(version: PriceVersion) -> str:
    """Return a price list as TOML that `parse_prices` reads."""
    lines = [f"# Price list {version.number}. Yuan including tax, for each `per` units of the kind."]
    for rule in version.rules:
        lines += [
            "",
            "[[price]]",
            f'resource = "{rule.resource}"',
            f'kind = "{rule.kind}"',
            f'yuan = "{format_yuan(rule.micro).replace(",", "")}"',
            *([f"per = {rule.per}"] if rule.per != 1 else []),
        ]
    return "\n".join(lines) + "\n"


def check_rules(rules: Sequence[PriceRule]) -> None:
    """Raise InvalidInput unless the rules have known kinds, valid prices, no duplicates, and none of `NEEDED` missing."""
    problems = []
    seen: set[tuple[str, str]] = set()
    for index, rule in enumerate(rules):
        where = f"price[{index}]"
        if rule.kind not in KINDS:
            known = ", ".join(KINDS)
            problems.append(
                Problem(f"{where}.kind", text("{kind} is not one of {known}", kind=rule.kind, known=known))
            )
        if (rule.resource, rule.kind) in seen:
            problems.append(
                Problem(where, text("{resource} has two prices of this kind", resource=rule.resource))
            )
        if not 0 <= rule.micro <= LIMIT_MICRO or not 0 < rule.per <= 10**12:
            problems.append(
                Problem(f"{where}.yuan", text("A price must be 0 or more, and per must be 1 or more"))
            )
        if not 0 < len(rule.resource) <= 120:
            problems.append(Problem(f"{where}.resource", text("A resource has 1 to 120 characters")))
        seen.add((rule.resource, rule.kind))
    for resource, kind in NEEDED:
        if (resource, kind) not in seen:
            problems.append(
                Problem(
                    "price", text("A {kind} price for {resource} is missing", kind=kind, resource=resource)
                )
            )
    if problems:
        raise InvalidInput(text("The price list is invalid"), problems=problems)


def _parse_rule(index: int, row: Mapping[str, object]) -> PriceRule:
    try:
        extra = set(row) - {"resource", "kind", "yuan", "per"}
        if extra:
            raise ValueError(f"unknown field {sorted(extra)[0]}")
        per = row.get("per", 1)
        if not isinstance(per, int) or isinstance(per, bool):
            raise ValueError("per is a whole number")
        return PriceRule(str(row["resource"]), str(row["kind"]), parse_yuan(str(row["yuan"])).micro, per)
    except KeyError as error:
        problem = text("{field} is missing", field=str(error.args[0]))
    except ValueError as error:
        problem = text("{problem}", problem=str(error))
    raise InvalidInput(text("The price list is invalid"), problems=[Problem(f"price[{index}]", problem)])


def _write(tx: Tx, rules: Sequence[PriceRule], valid_from_us: int, note: str, by: str) -> PriceVersion:
    number = (tx.scalar(sa.select(sa.func.max(price_versions.c.number))) or 0) + 1
    version = PriceVersion(
        tx.new_id("price"), number, valid_from_us, read_site(tx).time_zone, note[:500], tuple(rules)
    )
    tx.execute(
        sa.insert(price_versions).values(
            id=version.id,
            number=number,
            valid_from_us=valid_from_us,
            zone=version.zone,
            note=version.note,
            published_by=by,
            at_us=tx.now_us,
        )
    )
    rows = [
        {"version_id": version.id, "resource": r.resource, "kind": r.kind, "micro": r.micro, "per": r.per}
        for r in rules
    ]
    tx.execute(sa.insert(price_rules), rows)
    return version


def load_prices(tx: Tx, version_id: str) -> PriceVersion:
    """Read a price list from the database, bypassing the cache. Raises NotFound."""
    row = tx.first(sa.select(price_versions).where(price_versions.c.id == version_id))
    if row is None:
        raise NotFound(text("There is no price list {id}", id=version_id))
    query = (
        sa.select(price_rules)
        .where(price_rules.c.version_id == version_id)
        .order_by(price_rules.c.resource, price_rules.c.kind)
    )
    rules = tuple(PriceRule(r["resource"], r["kind"], r["micro"], r["per"]) for r in tx.rows(query))
    return PriceVersion(row["id"], row["number"], row["valid_from_us"], row["zone"], row["note"], rules)
