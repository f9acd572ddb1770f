"""Schemathesis over the document that a center publishes: single requests, boundary cases, and walks along the links."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import multiprocessing
import os
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, Unsatisfiable
from requests.adapters import HTTPAdapter
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.api.test_access import BODIES
from tests.fuzz.served import ADDRESSES, ROLES, Served, served
from tests.fuzz.stories import Teller, last_month
from tests.months import present_month

DOCUMENT = "/api/v1/openapi.json"
PER_CENTER = 4000
"""Requests to one center before a fresh one: what piles up in it slows its loops down."""
TEND_EVERY = 200
LARGE = 1000
"""Requests to one center from which on the stories are told to it again and again, when much has been asked of it."""
WALKS = 0.4
"""The part of all requests that walks along links."""
BOUNDARIES = 0.2
NEGATIVE = 0.35
"""Parts of the single requests: boundary cases, and of the rest those that are wrong on purpose."""
STEPS = 12
MOST_WALKS = 1000
SHARES = {"owner": 0.34, "system": 0.26, "security": 0.16, "audit": 0.16, "anonymous": 0.08}
UNASKED = frozenset({"POST /api/v1/backups"})
"""Not walked to: each of these copies the whole database."""
DEAR = {
    "POST /api/v1/backups": 2,
    "POST /api/v1/sign-in": 6,
    "POST /api/v1/set-password": 6,
    "POST /api/v1/password": 6,
}
"""Most requests of a kind for each role and center: a copy of the database, or a password hash made slow on purpose."""
ERROR_BYTES = 60_000
REQUEST_WITHIN_S = 60
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
QUIET = settings(
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=False,
)
PICKS = st.lists(st.integers(0, 10_000), min_size=4, max_size=4)
_ID = re.compile(r"\b([a-z]{3,6})_[0-9a-z]{26}\b")
_KINDS = {"job": "job", "key": "key", "org": "org", "usr": "user", "prj": "project", "upl": "upload", "art": "artefact",
          "quo": "quote", "qta": "quota", "topup": "top_up", "att": "attempt", "ses": "session", "whk": "webhook",
          "dlv": "delivery", "win": "window", "wif": "what_if", "ser": "series"}  # fmt: skip
"""Prefix of an id → the parameter it fits."""


LIKELY = {
    "slug": ("fuzz-{number}",),
    "name": ("fuzz{number}",),
    "amount": ("1", "12.50", "100000", "-3"),
    "monthly": ("100",),
    "credit_limit": ("0", "500.000001"),
    "reference": ("ref-{number}", "ref-1"),
    "resource": ("cards", "cpus", "cards:H100"),
    "email": ("fuzz{number}@example.com",),
    "time_zone": ("Asia/Shanghai", "UTC"),
    "approval_above": ("10000",),
    "subject": ("subject-{number}",),
    "url": ("https://140.82.112.3/x",),
    "issuer": ("https://id.example.com",),
    "password": ("correct horse battery {number}",),
}
"""Values that are right, by field; a made-up one seldom is."""


@schemathesis.serializer("application/toml")
def as_text(context: Any, value: Any) -> bytes:
    """TOML is not made up: a text stays the text it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@dataclass
class Finding:
    """An answer that should not have been."""

    what: str
    role: str
    operation: str
    request: Mapping[str, Any]
    answer: str
    times: int = 1

    def __str__(self) -> str:
        return (
            f"{self.times}× {self.operation} as {self.role}: {self.what}\n"
            f"  {json.dumps(self.request, ensure_ascii=True)[:3000]}\n  {self.answer[:800]}"
        )


@dataclass
class Report:
    """What was asked and what was found."""

    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    operations: frozenset[str] = frozenset()
    took_s: float = 0.0
    centers: int = 0

    @property
    def total(self) -> int:
        """Requests that reached the server."""
        return sum(self.asked.values())

    def add(self, other: Report) -> None:
        """What another found at another center."""
        self.asked += other.asked
        self.answers += other.answers
        self.reached += other.reached
        self.operations |= other.operations
        self.centers += other.centers
        for key, finding in other.findings.items():
            if key in self.findings:
                self.findings[key].times += finding.times
            else:
                self.findings[key] = finding

    def __str__(self) -> str:
        by_role = Counter[str]()
        by_operation = Counter[str]()
        for (role, operation), count in self.asked.items():
            by_role[role] += count
            by_operation[operation] += count
        lines = [f"{self.total} requests to {self.centers} centers in {self.took_s:.0f} s"]
        lines += [f"  as {role:<10} {by_role[role]:>7}" for role in sorted(by_role)]
        lines += [f"  answered {status} {count:>7}" for status, count in sorted(self.answers.items())]
        lines += [
            f"  {by_operation[name]:>7} ({self.reached[name]:>6} not refused) {name}"
            for name in sorted(by_operation)
        ]
        return "\n".join(lines)


class Session(requests.Session):
    """Asks from the address of one role."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.mount("http://", _From(ADDRESSES[role]))
        self.trust_env = False


class _From(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__(pool_maxsize=4)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, source_address=(self._address, 0), **options)


class Fuzzer:
    """Asks one center."""

    def __init__(
        self, center: Served, report: Report, dice: random.Random, only: Collection[str] | None = None
    ) -> None:
        load_all_checks()
        self._center, self._report, self._dice = center, report, dice
        schema = schemathesis.openapi.from_url(center.url + DOCUMENT, timeout=REQUEST_WITHIN_S)
        self._schema = schema if only is None else schema.include(lambda at: at.operation.label in only)
        self._schema.config.generation.update(with_security_parameters=False)
        self._sessions = {role: Session(role) for role in ROLES}
        self._keys: dict[str, str | None] = {}
        self._sent = 0
        self._teller = Teller(center, self._tell, self._broke, dice)
        self._fresh = True
        self._known: dict[str, list[str]] = {
            "org": ["acme", "acme", "acme", "beta"],
            "user": ["owner", "member", "stranger", "system"],
            "project": ["default"],
            "name": ["TOKEN", "OTHER"],
            "node": ["h100-0001", "h100-0002"],
            "month": ["2026-01", present_month(), last_month()],
            "provider": ["none"],
            "scenario": ["1t-50-days"],
            "decision": ["1", "2", "3"],
            "queue": ["day", "night"],
        }
        self.operations = {found.ok().label: found.ok() for found in self._schema.get_all_operations()}

    def run(self, budget: int) -> None:
        """About so many requests, by every role to every operation."""
        self._stories()
        self._singles(int(budget * (1 - WALKS)))
        for role, share in SHARES.items():
            if budget > LARGE:
                self._stories()
            self._walks(role, int(budget * WALKS * share))
        self._center.tend()

    # -- single requests

    def _singles(self, budget: int) -> None:
        held = {role: self._scopes(role) for role in ROLES}
        weights = {label: self._weights(operation, held) for label, operation in self.operations.items()}
        whole = sum(sum(roles.values()) for roles in weights.values())
        for label, operation in self.operations.items():
            wanted = round(budget * sum(weights[label].values()) / whole)
            wanted = max(len(ROLES), min(wanted, DEAR.get(label, wanted)))
            asking = self._dice.choices(ROLES, [weights[label][role] for role in ROLES], k=wanted)
            boundaries = list(self._boundaries(operation, int(wanted * BOUNDARIES)))
            for case in boundaries:
                self.ask(case, asking.pop(0))
            left = wanted - len(boundaries)
            left -= self._examples(operation, GenerationMode.NEGATIVE, int(left * NEGATIVE), asking)
            self._examples(operation, GenerationMode.POSITIVE, left, asking)
            self._by_everybody(operation)

    def _by_everybody(self, operation: Any) -> None:
        """Every role once, with what is right: a boundary case may be of another method, and requests may run out."""
        missing = list(ROLES)
        for _ in range(10):
            self._examples(operation, GenerationMode.POSITIVE, len(missing), missing)

    def _scopes(self, role: str) -> frozenset[str]:
        if role == "anonymous":
            return frozenset()
        return frozenset(self._center.world.get("/me", self._key(role)).json()["scopes"])

    def _weights(self, operation: Any, held: Mapping[str, frozenset[str]]) -> dict[str, float]:
        """What a role may not do is asked less often: it is refused before anything of it is looked at."""
        access = operation.definition.raw.get("x-access", "")
        return {
            role: share
            * (
                1
                if access == "public" or (access == "signed in" and held[role]) or access in held[role]
                else 0.1
            )
            for role, share in SHARES.items()
        }

    def _boundaries(self, operation: Any, most: int) -> Iterator[Any]:
        if most < 1:
            return
        found = list(
            self._schema.iter_coverage_cases(
                operation,
                generation_modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE],
                generation_config=self._schema.config.generation,
            )
        )
        yield from self._dice.sample(found, min(most, len(found)))

    def _examples(self, operation: Any, mode: GenerationMode, count: int, asking: list[str]) -> int:
        """Ask up to `count` times, the roles at the front of `asking` first; how often that was."""
        if count < 1:
            return 0
        before = self._sent

        @seed(self._dice.getrandbits(32))
        @settings(QUIET, max_examples=count)
        @given(case=operation.as_strategy(generation_mode=mode), picks=PICKS)
        def each(case: Any, picks: list[int]) -> None:
            self._fill(case, picks)
            self.ask(case, asking.pop(0) if asking else "owner")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with suppress(Unsatisfiable):  # nothing of it can be wrong
                each()
        return self._sent - before

    def _fill(self, case: Any, picks: list[int]) -> None:
        """Mostly ids that exist: an invented one only ever answers 404."""
        for number, name in enumerate(case.path_parameters or {}):
            known = self._known.get(name)
            pick = picks[number % len(picks)]
            if known and pick % 4:
                case.path_parameters[name] = known[pick % len(known)]
        if isinstance(case.body, dict) and picks[2] % 3:
            self._make_likely(case, picks[3])
        if isinstance(case.query, dict) and picks[1] % 3 == 0:
            case.query.pop("org", None)
        for holder in (case.query, case.body):
            if isinstance(holder, dict):
                for name in sorted(set(holder) & {"org", "project", "array", "attempt", "user"}):
                    known = self._known.get({"array": "job"}.get(name, name))
                    if known and picks[-1] % 3:
                        holder[name] = known[picks[-1] % len(known)]

    def _make_likely(self, case: Any, pick: int) -> None:
        """A body that is right, with one made-up field; else fields that are right where a schema cannot say how."""
        known = BODIES.get((case.method, case.path.removeprefix("/api/v1")))
        if known is not None and pick % 3:
            extra = sorted(case.body)[pick % len(case.body)] if case.body and pick % 2 else None
            case.body = {**known, **({extra: case.body[extra]} if extra else {})}
        if not isinstance(case.body, dict):
            return
        for name in set(case.body) & set(LIKELY):
            values = LIKELY[name]
            case.body[name] = values[pick % len(values)].format(number=self._sent)
        if case.operation.label == "POST /api/v1/users":
            case.body |= {"org": "acme", "operator_role": None}

    # -- stories

    def _stories(self) -> None:
        """What succeeds only in an order; the ids that it makes are known afterwards."""
        self._fresh = self._sent == 0
        self._teller.tell()
        self._known["decision"] = sorted({*self._known["decision"], *self._decisions()})

    def _decisions(self) -> set[str]:
        found = self._center.world.get("/scheduling/decisions?limit=20", self._key("system")).json()["items"]
        return {str(one["id"]) for one in found}

    def _tell(
        self, label: str, role: str, credential: str | None, query: Any, body: Any, path: dict[str, str]
    ) -> Any:
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        sent = {} if body is None else {"body": body, "media_type": kind}
        case = self.operations[label].Case(path_parameters=path, query=dict(query or {}), **sent)
        return self.ask(case, role, credential)

    def _broke(self, label: str, role: str, response: Any) -> None:
        if not self._fresh:
            return  # what was asked before may have suspended somebody or used the money up
        what = f"a request of a story is refused with {response.status_code}"
        self._report.findings.setdefault(
            (label, what), Finding(what, role, label, {"path": response.request.url}, _shown(response))
        )

    # -- walks

    def _walks(self, role: str, budget: int) -> None:
        ends = self._sent + budget
        fuzzer = self
        schema = self._schema.exclude(lambda context: context.operation.label in UNASKED)

        class Walk(schema.as_state_machine()):  # type: ignore[misc]
            def step(self, input: Any) -> Any:
                from schemathesis.generation.stateful.state_machine import StepOutput

                return StepOutput(fuzzer.ask(input.case, role), input.case)

        for _ in range(MOST_WALKS):
            scenarios = (ends - self._sent) // STEPS
            if scenarios < 1:
                return
            seed(self._dice.getrandbits(32))(Walk)
            # A walk is not repeatable, the center having changed meanwhile: Hypothesis notices, and a new one begins.
            with warnings.catch_warnings(), suppress(Flaky):
                warnings.simplefilter("ignore")
                Walk.run(settings=settings(QUIET, max_examples=min(scenarios, 20), stateful_step_count=STEPS))

    # -- asking

    def _key(self, role: str) -> str | None:
        if role not in self._keys:
            self._keys[role] = self._center.credential(role)
        return self._keys[role]

    def ask(self, case: Any, role: str, credential: str | None = None) -> Any:
        """Send a case and hold its answer against the document. `credential`: instead of the role's own."""
        if isinstance(case.query, dict):
            case.query.pop("follow", None)  # would stay until the job has ended
        if self._sent % TEND_EVERY == 0:
            self._center.tend()
            self._keys.clear()
        self._sent += 1
        if "/clos" in case.path and case.method != "GET" and case.path_parameters:
            case.path_parameters["org"] = "beta"  # acme is needed: what is closed stays closed
        key = credential or self._key(role)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        case.headers.pop("authorization", None)
        try:
            response = case.call(
                base_url=self._center.url,
                session=self._sessions[role],
                headers=headers,
                timeout=REQUEST_WITHIN_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            self._found(f"no answer: {type(error).__name__}", case, role, None, str(error))
            raise
        self._learn(response)
        if response.status_code == 401 and key and not credential:
            self._keys.pop(role, None)
        for problem in _problems(response):
            self._found(problem, case, role, response, _shown(response))
        try:
            case.validate_response(response, checks=CHECKS)
        except (FailureGroup, Failure) as error:
            for failure in error.exceptions if isinstance(error, FailureGroup) else [error]:
                what = f"{failure.title}: {failure.message}"
                self._found(what, case, role, response, _shown(response))
        return response

    def _learn(self, response: Any) -> None:
        if response.status_code >= 300 or len(response.content) > 200_000:
            return
        for found in _ID.finditer(response.content.decode("utf-8", "replace")):
            kind = _KINDS.get(found.group(1))
            known = self._known.setdefault(kind, []) if kind else []
            if kind and found.group() not in known:
                known.append(found.group())
                if len(known) > 60:
                    del known[self._dice.randrange(60)]

    def _found(self, what: str, case: Any, role: str, response: Any, answer: str) -> None:
        operation = case.operation.label
        key = (operation, re.sub(r"[0-9a-z_]{20,}|[0-9]+", "#", what)[:160])
        known = self._report.findings.get(key)
        if known is not None:
            known.times += 1
            return
        self._report.findings[key] = Finding(what, role, operation, request_of(case, role, response), answer)


def request_of(case: Any, role: str, response: Any) -> dict[str, Any]:
    """A request as tests/fuzz/cases.json keeps it."""
    if response is None:
        return {
            "as": role,
            "method": case.method,
            "path": case.formatted_path,
            "query": str(case.query)[:500],
        }
    sent = response.request
    body = sent.body if sent.body is not None else b""
    raw = body.encode() if isinstance(body, str) else bytes(body)
    try:
        kept = {"body": raw.decode()}
    except UnicodeDecodeError:
        kept = {"body_base64": base64.b64encode(raw).decode()}
    names = ("content-type", "accept-language", "idempotency-key")
    return {
        "as": role,
        "method": sent.method,
        "path": "/" + sent.url.split("/", 3)[3],
        "headers": {name: str(sent.headers[name]) for name in names if name in sent.headers},
        **(kept if raw else {}),
    }


def _shown(response: Any) -> str:
    return f"{response.status_code} {response.content[:600].decode('utf-8', 'replace')}"


def _problems(response: Any) -> Iterator[str]:
    """What no answer may be, whatever the document says."""
    status = response.status_code
    headers = {name.lower(): values[0] for name, values in response.headers.items()}
    if status >= 500:
        yield f"answered {status} although nothing is down"
    if status >= 400:
        if headers.get("content-type") != "application/problem+json":
            yield f"an error of the type {headers.get('content-type')}"
        elif response.request.method != "HEAD" and json.loads(response.content)["status"] != status:
            yield "the problem document names another status"
        if len(response.content) > ERROR_BYTES:
            yield "an error larger than it may be"
    if "x-request-id" not in headers or headers.get("x-content-type-options") != "nosniff":
        yield "a header is missing that every answer has"


def fuzz(
    folder: Path, wanted: int, start: int, heard: Callable[[str], None] = lambda _: None, workers: int = 1
) -> Report:
    """At least `wanted` requests in all, replayable but for ids and times by the seed `start`.

    Each center has a process of its own: what Schemathesis keeps of a document it never lets go.
    """
    report, began, number = Report(), time.monotonic(), 0
    context = multiprocessing.get_context("spawn")
    while report.total < wanted:
        left = wanted - report.total
        rounds = min(workers, -(-left // PER_CENTER))
        budget = min(PER_CENTER, max(left // rounds, 200))
        with concurrent.futures.ProcessPoolExecutor(rounds, context, max_tasks_per_child=1) as processes:
            each = [
                processes.submit(_one_center, folder / f"center{at}", f"{start}-{at}", budget)
                for at in range(number, number + rounds)
            ]
            number += rounds
            for one in concurrent.futures.as_completed(each):
                report.add(one.result())
                report.took_s = time.monotonic() - began
                heard(f"{report.total} requests, {len(report.findings)} findings, {report.took_s:.0f} s")
    return report


def _one_center(folder: Path, start: str, budget: int) -> Report:
    """In a process of its own; what its server logs stays beside its data."""
    folder.mkdir(parents=True)
    with (folder / "log.txt").open("w") as log:
        os.dup2(log.fileno(), 1)
    report = Report(centers=1)
    with served(folder / "data") as center:
        fuzzer = Fuzzer(center, report, random.Random(start))
        report.operations = frozenset(fuzzer.operations)
        fuzzer.run(budget)
        report.asked += center.count.asked
        report.answers += center.count.answers
        report.reached += center.count.reached
        _settle(center, report)
    return report


def _settle(center: Served, report: Report) -> None:
    """What was asked must have left the books, the audit log and the loops in order."""
    world = center.world
    for path, role in (("/ledger/proof", "audit"), ("/audit/verify", "audit")):
        answer = world.get(path, center.credential(role)).json()
        if not answer.get("is_right"):
            report.findings["-", path] = Finding("not right afterwards", role, path, {}, str(answer))
    found = world.get("/incidents", center.credential("system")).json()["items"]
    if found:
        report.findings["-", "incidents"] = Finding("loops fail", "-", "loops", {}, str(found[:3]))
