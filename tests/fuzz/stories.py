"""Requests in an order in which each of them succeeds: what random ones hardly ever reach, such as a quote that is accepted.

Each right body is also sent bent in one place, and every id that is made is known to the random requests that follow.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.simulated import nodes_from
from pearlstreet.compute.jobs.tables import artefacts, jobs
from pearlstreet.compute.pool.inventory import record_nodes
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.prices import current_prices
from pearlstreet.ledger.spans import append_span
from pearlstreet.storage.levels import change_level
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import get_org
from tests.api.test_access import BODIES
from tests.fuzz.served import Served

API = "/api/v1"
BENT = 0.5
"""How often a right body is sent bent, too."""
ODD: tuple[Any, ...] = (
    None, "", " ", "-1", "0", -1, 0, 2**63, 1e308, 5e-324, -0.0, 1e15, True, [], {}, [None], "9" * 400, "\u0000", "💥", "1e309", "2026-02-30",
    "../..", "acme", "99999999999999.999999",
)  # fmt: skip
DAY_S = 86_400

Send = Callable[..., Any]
"""Operation, role, credential or None, query, body, path → the response."""


class StoppedError(Exception):
    """The center asked to come again later: the rest of the story is left out."""


class Teller:
    """Tells stories to one center."""

    def __init__(self, center: Served, send: Send, broken: Callable[..., None], dice: random.Random) -> None:
        self.center, self._send, self._broken, self.dice = center, send, broken, dice
        self.number = 0

    def ask(
        self,
        operation: str,
        role: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        credential: str | None = None,
        **path: str,
    ) -> Any:
        """What a request that is right is answered with."""
        method, _, where = operation.partition(" ")
        label = f"{method} {API}{where}"
        response = self._send(label, role, credential, query, body, path)
        if response.status_code in (429, 503):
            raise StoppedError
        if response.status_code >= 400:
            self._broken(label, role, response)
            raise StoppedError
        if (
            body and not isinstance(body, bytes) and self.dice.random() < BENT
        ):  # afterwards: it may use up what the right one needs
            self._send(label, role, credential, query, self.bent(body), path)
        is_json = "json" in "".join(response.headers.get("content-type", ()))
        return response.json() if is_json else None

    def bent(self, body: Any) -> Any:
        """The body with one thing in it that is other than it should be."""
        made = copy.deepcopy(body)
        places = list(_places(made))
        holder, key = self.dice.choice(places)
        if self.dice.random() < 0.2 and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(self.dice.choice(ODD))
        return made

    def tell(self) -> None:
        """Every story once, each with names of its own."""
        for story in STORIES:
            self.number += 1
            try:
                story(self)
            except StoppedError:
                continue


def _places(body: Any) -> Any:
    """Each place in a body: what holds it, and under which key."""
    pairs = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in list(pairs):
        yield body, key
        yield from _places(value)


def _time(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def last_month() -> str:
    """The one that is over: 2026-10."""
    return f"{datetime.now(UTC).replace(day=1) - timedelta(days=10):%Y-%m}"


def _signing_in(it: Teller) -> None:
    name = f"person-{it.number}"
    made = it.ask("POST /users", "security", body={"name": name, "org": "acme", "role": "member"})
    user, password = made["user"]["id"], "correct horse battery staple"
    it.ask("POST /set-password", "anonymous", body={"token": made["token"], "password": password})
    first = it.ask("POST /sign-in", "anonymous", body={"name": name, "password": password})
    changed = {"current": password, "new": "another horse, another staple"}
    it.ask("POST /password", "owner", credential=first["token"], body=changed)
    again = {"name": name, "password": changed["new"]}
    one, two = (it.ask("POST /sign-in", "anonymous", body=again) for _ in range(2))
    it.ask("GET /sessions", "owner", credential=one["token"])
    it.ask("DELETE /sessions/{session}", "owner", credential=one["token"], session=two["session_id"])
    it.ask("POST /sign-out", "owner", credential=one["token"])
    identity = {"issuer": "https://id.example.com", "subject": name}
    it.ask("POST /users/{user}/identities", "security", user=user, body=identity)
    it.ask("GET /users/{user}/identities", "security", user=user)
    it.ask("DELETE /users/{user}/identities", "security", user=user, body=identity)
    it.ask("POST /users/{user}/suspend", "security", user=user, body={"reason": "left"})
    it.ask("POST /users/{user}/resume", "security", user=user)
    clerk = it.ask("POST /users", "security", body={"name": f"clerk-{it.number}", "operator_role": "audit"})
    for role in (None, "system"):
        body = {"operator_role": role}
        it.ask("PUT /users/{user}/operator-role", "security", user=clerk["user"]["id"], body=body)


def _credit(it: Teller) -> None:
    second = it.center.fresh("system")
    for end in ("approve", "reject"):
        asked = it.ask("POST /orgs/{org}/credit", "system", org="acme", body={"amount": "20000"})
        it.ask(f"POST /credit/{{top_up}}/{end}", "system", credential=second, top_up=asked["id"])
    wrong = {"amount": "-1", "memo": "twice", "reference": f"story-{it.number}"}
    it.ask("POST /orgs/{org}/corrections", "system", org="acme", body=wrong)


def _prices(it: Teller) -> None:
    current = it.ask("GET /prices/current", "system")
    names = ("resource", "kind", "yuan", "per")
    rules = [{name: rule[name] for name in names} for rule in current["rules"]]
    it.ask("POST /prices", "system", body={"rules": rules, "note": "the same again"})


def _invoice(it: Teller) -> None:
    """Of last month, in which the tenant is made to have used something."""
    store = it.center.world.center.store
    month = last_month()
    start_us = int(datetime.fromisoformat(f"{month}-15T00:00:00Z").timestamp()) * US_PER_S
    org = get_org(store, SYSTEM, "acme")

    def used(tx: Any) -> None:
        append_span(
            tx,
            Span(
                source="compute", external_id=f"att_story_{it.number}", resource="cpu", sequence=0, org_id=org.id,
                project_id="prj_story", reference="job_story", start_us=start_us, end_us=start_us + 3600 * US_PER_S,
                unit=Unit.CPU_MILLI, amount=4000, price_version_id=current_prices(tx).id, pflops=None, pflops_basis="",
            ),
        )  # fmt: skip

    store.write(used)
    while post_due_spans(store):
        pass
    it.ask("POST /orgs/{org}/invoices/{month}", "system", org="acme", month=month)
    for form in ("json", "text", "pdf"):
        it.ask("GET /orgs/{org}/invoices/{month}", "owner", org="acme", month=month, query={"format": form})


def _secrets(it: Teller) -> None:
    name = f"TOKEN_{it.number}"
    it.ask("PUT /orgs/{org}/secrets/{name}", "owner", org="acme", name=name, body={"value": "hush"})
    it.ask("GET /orgs/{org}/secrets", "owner", org="acme")
    it.ask("DELETE /orgs/{org}/secrets/{name}", "owner", org="acme", name=name)


def _windows(it: Teller) -> None:
    kept = {"nodes": ["h100-0002"], "from": _time(3600), "until": _time(7200), "reason": "fans"}
    for body in ({"kind": "maintenance", **kept}, {"kind": "reservation", "org": "acme", **kept}):
        body["from"], body["until"] = _time(it.number * DAY_S), _time(it.number * DAY_S + 3600)
        made = it.ask("POST /scheduling/windows", "system", body=body)
        it.ask("GET /scheduling/windows", "owner")
        it.ask("DELETE /scheduling/windows/{window}", "system", window=made["id"])


WORKLOADS: tuple[dict[str, Any], ...] = (
    {"kind": "train", "model": {"name": "Llama 3.1 8B"}, "tokens": 1e9, "mode": "full", "sequence": 4096, "epochs": 2,
     "batch_tokens": 1e6, "precision": "bf16", "tensor": 1},
    {"kind": "train", "model": {"params": 7e9, "active": 2e9, "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8},
     "tokens": 1e9},
    {"kind": "infer", "model": {"name": "Llama 3.1 8B"}, "requests": 1e4, "input_tokens": 512, "output_tokens": 64},
    {"kind": "serve", "model": {"name": "Llama 3.1 8B"}, "requests_per_s": 1, "hours": 3, "engine": "vLLM"},
)  # fmt: skip


def _quotes(it: Teller) -> None:
    asked = BODIES["POST", "/quotes"]
    found = it.ask("POST /quotes", "owner", query={"org": "acme"}, body=asked)
    it.ask("GET /quotes/{quote}", "owner", quote=found["id"])
    it.ask("POST /quotes/{quote}/accept", "owner", quote=found["id"], body={"offer": "1"})
    it.center.tend()
    it.ask("GET /quotes/{quote}/comparison", "owner", quote=found["id"])
    for workload in WORKLOADS:
        other = it.ask("POST /quotes", "owner", query={"org": "acme"}, body={"workload": workload})
    it.ask("DELETE /quotes/{quote}", "owner", quote=other["id"])
    it.ask("GET /quotes/scenarios/{scenario}", "owner", scenario="1t-50-days")


def _decisions(it: Teller) -> None:
    it.ask("POST /jobs", "owner", query={"org": "acme"}, body=BODIES["POST", "/jobs"])
    it.center.tend()
    it.center.world.runtime.decisions.flush()
    newest, *_ = it.ask("GET /scheduling/decisions", "system")["items"]
    number = str(newest["id"])
    it.ask("GET /scheduling/decisions/{decision}", "system", decision=number)
    it.ask("GET /scheduling/decisions/{decision}/replay", "system", decision=number)


def _webhooks(it: Teller) -> None:
    for at, role, path in (("/orgs/{org}", "owner", {"org": "acme"}), ("/center", "system", {})):
        made = it.ask(f"POST {at}/webhooks", role, body={"url": "https://140.82.112.3/x"}, **path)
        hook = {**path, "webhook": made["id"]}
        tried = it.ask(f"POST {at}/webhooks/{{webhook}}/test", role, **hook)
        it.ask(f"GET {at}/webhooks/{{webhook}}/deliveries", role, **hook)
        it.ask(f"GET {at}/webhooks/{{webhook}}/deliveries/{{delivery}}", role, delivery=tried["id"], **hook)
        it.ask(f"POST {at}/webhooks/{{webhook}}/enable", role, **hook)
        it.ask(f"DELETE {at}/webhooks/{{webhook}}", role, **hook)


def _energy(it: Teller) -> None:
    series = BODIES["POST", "/energy/series"] | {"name": f"grid-{it.number}"}
    made = it.ask("POST /energy/series", "system", body=series)
    it.ask("GET /energy/series/{series}/hours", "owner", series=made["series"]["id"])
    origin = {"source": "contract", "as_of": "2026-01-01"}
    periods = [
        {"name": "all", "yuan_per_kwh": "0.6"},
        {"name": "rest", "yuan_per_kwh": "0.1", "days": "holidays", "hours": [11]},
    ]
    calendar = {"holidays": ["2026-10-01..2026-10-07"], "working_days": ["2026-10-10"]}
    tariff = {"kind": "time_of_use", "periods": periods, **calendar, **origin}
    carbon = {"kind": "hourly", "series": made["series"]["name"], **origin}
    facts = {"pue": {"value": 1.25, **origin}, "tariff": tariff, "carbon": carbon}
    it.ask("POST /energy/facts", "system", body=facts)


def _what_ifs(it: Teller) -> None:
    made = it.ask("POST /what-ifs", "owner", query={"org": "acme"}, body=BODIES["POST", "/what-ifs"])
    it.ask("GET /what-ifs/{what_if}", "owner", what_if=made["id"])
    it.ask("DELETE /what-ifs/{what_if}", "owner", what_if=made["id"])


def _limits(it: Teller) -> None:
    """What bounds a tenant, set and taken back."""
    acme = {"org": "acme"}
    it.ask("PUT /orgs/{org}/balance-alert", "owner", body={"below": "10"}, **acme)
    it.ask("PUT /orgs/{org}/budgets", "owner", body={"monthly": "1000000"}, **acme)
    it.ask("PUT /orgs/{org}/credit-limit", "system", body={"credit_limit": "1000"}, **acme)
    made = it.ask("PUT /quotas", "system", body={"org": "acme", "resource": "cards", "maximum": 1000})
    it.ask("DELETE /quotas/{quota}", "system", quota=made["id"])
    it.ask("PUT /shares", "system", body={"org": "acme", "weight": 2})
    it.ask("DELETE /shares", "system", query=acme)
    project = it.ask("POST /orgs/{org}/projects", "owner", body={"slug": f"story-{it.number}"}, **acme)
    it.ask("GET /orgs/{org}/projects/{project}", "owner", project=project["id"], **acme)
    queue = f"story-{it.number}"
    it.ask("PUT /scheduling/queues/{queue}", "system", queue=queue, body={"rank": 5})
    it.ask("DELETE /scheduling/queues/{queue}", "system", queue=queue)


def _joining(it: Teller) -> None:
    """Invited, accepted, promoted, left; invited again, declined; withdrawn; removed."""
    acme, password = {"org": "acme"}, "correct horse battery staple"

    def person(name: str) -> str:
        made = it.ask("POST /users", "security", body={"name": name})
        it.ask("POST /set-password", "anonymous", body={"token": made["token"], "password": password})
        return str(it.ask("POST /sign-in", "anonymous", body={"name": name, "password": password})["token"])

    def invited(name: str) -> str:
        body = {"user": name, "role": "viewer"}
        return str(it.ask("POST /orgs/{org}/invitations", "owner", body=body, **acme)["id"])

    first, second = f"guest-{it.number}", f"other-{it.number}"
    one, two = person(first), person(second)
    offer = invited(first)
    it.ask("GET /orgs/{org}/invitations", "owner", **acme)
    it.ask("GET /invitations", "owner", credential=one)
    yes = {"as_default": True}
    it.ask("POST /invitations/{invitation}/accept", "owner", credential=one, invitation=offer, body=yes)
    it.ask("PUT /orgs/{org}/members/{user}", "owner", user=first, body={"role": "member"}, **acme)
    it.ask("PUT /me/default-org", "owner", credential=one, body={"org": "acme"})
    it.ask("POST /orgs/{org}/leave", "owner", credential=one, **acme)
    offer = invited(second)
    it.ask("POST /invitations/{invitation}/accept", "owner", credential=two, invitation=offer)
    it.ask("DELETE /orgs/{org}/members/{user}", "owner", user=second, **acme)
    it.ask("DELETE /orgs/{org}/invitations/{invitation}", "owner", invitation=invited(second), **acme)
    offer = invited(first)
    it.ask("POST /invitations/{invitation}/decline", "owner", credential=one, invitation=offer)


def _storage(it: Teller) -> None:
    """A file that is sent and deleted, what is stored and how long, and a limit on it."""
    acme = {"org": "acme"}
    sent = it.ask(
        "POST /uploads", "owner", query={**acme, "name": f"story-{it.number}.csv"}, body=b"a,b\n1,2\n"
    )
    it.ask("GET /uploads", "owner", query=acme)
    it.ask("GET /uploads/{upload}", "owner", upload=sent["id"])
    made = it.ask("PUT /quotas", "system", body={"org": "acme", "resource": "storage", "maximum": 500})
    it.ask("GET /storage", "owner", query=acme)
    it.ask("DELETE /quotas/{quota}", "system", quota=made["id"])
    for place in ({**acme, "project": "default"}, acme):
        it.ask("PUT /storage/retention", "owner", body={**place, "days": 7})
    for place in ({**acme, "project": "default"}, acme):
        it.ask("DELETE /storage/retention", "owner", query=place)
    it.ask("DELETE /uploads/{upload}", "owner", upload=sent["id"])


def _outputs(it: Teller) -> None:
    """Two results, which simulated jobs do not leave: one read, pinned and unpinned, one deleted."""
    job = it.ask("POST /jobs", "owner", query={"org": "acme"}, body=BODIES["POST", "/jobs"])["id"]
    world = it.center.world
    blob = world.runtime.blobs.keep(iter([b"result"]), f"story-{it.number}", limit_bytes=100)

    def left(path: str, tx: Any) -> str:
        (row,) = tx.rows(sa.select(jobs).where(jobs.c.id == job))
        made = {"id": tx.new_id("art"), "job_id": job, "attempt_id": job, "path": path}
        made |= {"org_id": row["org_id"], "size_bytes": blob.size_bytes, "sha256": blob.sha256}
        tx.execute(sa.insert(artefacts).values(**made, at_us=tx.now_us))
        change_level(tx, row["org_id"], row["project_id"], blob.size_bytes)
        return str(made["id"])

    kept, deleted = (world.center.store.write(partial(left, path)) for path in ("model.pt", "log.csv"))
    it.ask("GET /jobs/{job}/artefacts", "owner", job=job)
    it.ask("GET /artefacts/{artefact}", "owner", artefact=kept)
    for pinned in (True, False):
        it.ask("PUT /artefacts/{artefact}", "owner", artefact=kept, body={"pinned": pinned})
    it.ask("DELETE /artefacts/{artefact}", "owner", artefact=deleted)


def _lost_node(it: Teller) -> None:
    """A machine that was there and is not any more."""
    store = it.center.world.center.store
    more, there = nodes_from("2x8xH100-80G,1x1xA100-80G"), nodes_from("2x8xH100-80G")
    store.write(lambda tx: record_nodes(tx, "simulated", more))
    store.write(lambda tx: record_nodes(tx, "simulated", there))
    (lost,) = {node.name for node in more} - {node.name for node in there}
    it.ask("DELETE /nodes/{node}", "system", node=lost)


STORIES: tuple[Callable[[Teller], None], ...] = (
    _signing_in, _credit, _prices, _invoice, _secrets, _windows, _quotes, _decisions, _webhooks, _energy, _what_ifs,
    _limits, _joining, _storage, _outputs, _lost_node,
)  # fmt: skip
