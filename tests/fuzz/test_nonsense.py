"""Nonsense sent to every route, by everybody: never a 5xx, always a problem document, nothing lost."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pearlstreet.api.app import all_routes
from tests.api.world import JOB, World, a_world

ROUNDS = 5
"""Requests for each route and seed; the schemathesis suite goes deeper."""
TEXTS = (
    "", " ", "acme", "beta", "default", "owner", "..", "../../etc/passwd", "%", "%%", "'; DROP TABLE jobs; --",
    '"', "\\", "null", "true", "-1", "0", "1e309", "9" * 400, "💥" * 40, "\u202e", "\ufeff", "a\nb", "{x}", "{",
    "${HOME}", "<script>", "x" * 9000, "job_00000000000000000000000000", "key_zzzzzzzzzzzzzzzzzzzzzzzzzz",
    "2026-02", "9999-12", "0001-01", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59.999999+14:00", "H100", "cards",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.1, -0.0, 1e308, 1e-308)


def _value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return dice.choice((None, True, False))
    if kind == 1:
        return dice.choice(NUMBERS)
    if kind < 5:
        return dice.choice(TEXTS)
    if kind == 5:
        return [_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice((*TEXTS[:30], *FIELDS)): _value(dice, depth + 1) for _ in range(dice.randrange(5))}


def _fields(document: dict[str, Any]) -> tuple[str, ...]:
    found: set[str] = set()
    for schema in document["components"]["schemas"].values():
        found |= set(schema.get("properties", ()))
    return tuple(sorted(found))


FIELDS: tuple[str, ...] = tuple(JOB)


def _likely(dice: random.Random, schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> Any:
    """A body that is nearly right: a valid shape with a wrong value here and there."""
    if dice.random() < 0.12 or depth > 6:
        return _value(dice)
    if "$ref" in schema:
        schema = document["components"]["schemas"].get(schema["$ref"].rsplit("/", 1)[-1], {})
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _likely(dice, dice.choice(schema[several]), document, depth + 1)
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        needed = set(schema.get("required", ()))
        return {
            name: _likely(dice, part, document, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in needed or dice.random() < 0.4
        }
    if kind == "array":
        return [_likely(dice, schema.get("items", {}), document, depth + 1) for _ in range(dice.randrange(3))]
    if kind in ("integer", "number"):
        return dice.choice(NUMBERS)
    if kind == "boolean":
        return dice.choice((True, False))
    return dice.choice(TEXTS)


def test_nonsense_never_breaks_a_route(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        _throw_nonsense(world, random.Random(1))


@pytest.mark.slow
def test_nonsense_never_breaks_a_route_on_postgresql(tmp_path: Path, postgres_database: str) -> None:
    with a_world(tmp_path, database=postgres_database) as world:
        _throw_nonsense(world, random.Random(2))


def _throw_nonsense(world: World, dice: random.Random) -> None:
    global FIELDS
    document = world.get("/openapi.json", None).json()
    FIELDS = _fields(document)
    ids = {"job": world.submit(), "org": "acme", "project": "default"}
    statuses: dict[int, int] = {}
    for route in all_routes():
        operation = document["paths"][route.path][route.method.lower()]
        body_schema = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        )
        for _ in range(ROUNDS):
            path = route.path
            for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
                filled = ids[name] if name in ids and dice.random() < 0.6 else dice.choice(TEXTS)
                path = path.replace(f"{{{name}}}", quote(filled, safe="") or "-")
            query = {
                item["name"]: dice.choice((*TEXTS, *map(str, NUMBERS)))
                for item in operation.get("parameters", ())
                if item["in"] == "query" and item["name"] != "follow" and dice.random() < 0.4
            }
            headers = {"accept-language": dice.choice(("en", "zh-CN", "x;q=9,,", ""))}
            if dice.random() < 0.2:
                headers["idempotency-key"] = f"k{dice.randrange(40)}"
            options: dict[str, Any] = {}
            if body_schema is not None and dice.random() < 0.9:
                options["json"] = _likely(dice, body_schema, document)
            elif dice.random() < 0.4:
                options["content"] = dice.choice(
                    (b"", b"{", b"\xff\xfe", b"[[[[", json.dumps(_value(dice)).encode())
                )
                headers["content-type"] = dice.choice(
                    ("application/json", "text/plain", "application/toml", "x")
                )
            role = dice.choice(("owner", "system", "security", "audit", "member", "stranger", "nobody"))
            credential = world.keys.get(role, role)
            headers["authorization"] = f"Bearer {credential}"
            answer = world.browser.send(route.method, path, params=query, headers=headers, **options)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            told = (route.method, path[:200], query, str(options)[:1500], role, answer.text[:300])
            assert answer.status_code < 500 or answer.status_code == 503, told
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json", told
                assert answer.json()["status"] == answer.status_code, told
                assert len(answer.content) < 60_000, told
    assert statuses.get(200, 0) > 50 and statuses.get(422, 0) > 50, statuses
    world.step()
    proof = world.get("/ledger/proof", "audit").json()
    assert proof["is_right"], proof
    assert world.get("/audit/verify", "audit").json()["is_right"]


def test_whole_numbers_beyond_all_floats_are_refused(tmp_path: Path) -> None:
    """JSON has them, and so does what is read from a string of digits."""
    beyond = 10**400
    work = {"kind": "train", "model": {"name": "Llama 3.1 8B"}, "tokens": 1e9}
    with a_world(tmp_path) as world:
        for method, path, role, body in (
            ("PUT", "/scheduling/queues/fast", "system", {"rank": beyond}),
            ("PUT", "/scheduling/queues/fast", "system", {"rank": str(-beyond)}),
            ("PATCH", "/scheduling/policy", "system", {"settings": {"depth": beyond}}),
            ("PATCH", "/scheduling/policy", "system", {"settings": {"las_levels_h": [1, beyond]}}),
            ("POST", "/quotes", "owner", {"workload": work | {"tokens": beyond}, "job": JOB}),
            ("POST", "/quotes", "owner", {"workload": work | {"sequence": beyond}, "job": JOB}),
            ("POST", "/quotes", "owner", {"workload": work | {"count": beyond}, "job": JOB}),
            ("POST", "/quotes", "owner", {"workload": work | {"model": {"params": beyond}}, "job": JOB}),
        ):
            answer = world.send(method, path, role, json=body)
            assert answer.status_code == 422, (path, list(body), answer.text[:300])
