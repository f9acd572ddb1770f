"""`Client`: every noun of the REST API, with a method for each thing that can be done.

Answers are plain dictionaries with known keys (`pearlstreet.client.results`).

client = Client()  # as `pearl login` or PEARL_URL and PEARL_KEY say
job = client.jobs.submit({"command": ["python", "train.py"], "files": ["train.py"]})
for part in client.jobs.logs(job["id"], follow=True):
    print(part.decode(), end="")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from pearlstreet.base.errors import NotFound
from pearlstreet.base.text import text
from pearlstreet.client.accounts import Invitations, Keys, Orgs, Projects, Secrets, Session, Users
from pearlstreet.client.builds import Builds
from pearlstreet.client.energy import Energy
from pearlstreet.client.engines import Engines
from pearlstreet.client.history import Trace
from pearlstreet.client.hub import Repositories
from pearlstreet.client.money import Budgets, Credit, Invoices, Ledger, Prices
from pearlstreet.client.notices import Notices, Webhooks
from pearlstreet.client.noun import PREFIX, Noun, Rows, at
from pearlstreet.client.operate import Audit, Backups, Incidents, Quotas, Shares
from pearlstreet.client.packing import check_exists, packed
from pearlstreet.client.profile import active, signed_in
from pearlstreet.client.quotes import Calibration, Quotes
from pearlstreet.client.scheduling import Decisions, Policy, Queues, WhatIfs, Windows
from pearlstreet.client.shells import Shells
from pearlstreet.client.storage import Storage
from pearlstreet.client.submission import format_text, local_paths, parse_text, replace_paths
from pearlstreet.client.transport import ApiError, Transport, Unreachable

if TYPE_CHECKING:
    from pearlstreet.client import results

ENDED = frozenset({"succeeded", "failed", "cancelled"})
CHUNK = 1 << 20
PATIENCE_S = 120.0
"""How long `wait` and followed logs bear a center that does not answer: jobs run on while it restarts."""
RECONNECT_S = 1.0
T = TypeVar("T")


class Jobs(Noun):
    """Submit, look, follow, cancel."""

    def submit(
        self,
        spec: Mapping[str, object] | str | Path,
        *,
        folder: Path | None = None,
        org: str | None = None,
        idempotency_key: str | None = None,
    ) -> results.Job:
        """Submit a specification: a mapping, YAML text, or the path of a file with it.

        Paths under `files` and `inputs` are uploaded first, a folder as an archive; they are relative to `folder`, else to
        the specification's file, else to the working directory. Raises InvalidInput where a path does not exist.
        """
        if isinstance(spec, Path):
            folder = folder or spec.parent
            spec = spec.read_text(encoding="utf-8")
        values = parse_text(spec) if isinstance(spec, str) else dict(spec)
        if values is not None and (paths := local_paths(values)):
            base = folder or Path()
            for path in paths:
                check_exists(base / path)
            sent = {
                path: self._upload(base / path, org, _key_of_part(idempotency_key, number))
                for number, path in enumerate(paths)
            }
            replace_paths(values, sent)
            spec = format_text(values) if isinstance(spec, str) else values
        return self._submit(spec, org, idempotency_key)

    def _submit(self, spec: Mapping[str, object] | str, org: str | None, key: str | None) -> results.Job:
        headers = {"idempotency-key": key} if key else {}
        body: dict[str, Any] = (
            {"json": dict(spec)} if not isinstance(spec, str) else {"content": spec.encode()}
        )
        if isinstance(spec, str):
            headers["content-type"] = "application/yaml"
        answer = self._transport.request(
            "POST", f"{PREFIX}/jobs", params={"org": org}, headers=headers, **body
        )
        found: results.Job = answer.json()
        return found

    def _upload(self, path: Path, org: str | None, key: str | None) -> tuple[str, bool]:
        with packed(path) as (file, name, is_archive):
            upload = Files(self._transport).upload(file, name=name, org=org, idempotency_key=key)
        return upload["id"], is_archive

    def get(self, job: str) -> results.Job:
        """Return a job by id."""
        found: results.Job = self._get(at("jobs", job))
        return found

    def list(self, *, limit: int = 100, **filters: object) -> Iterator[results.Job]:
        """Yield jobs, newest first; filters: org, state (a list), name, array, project. `limit` is the size of a page."""
        return self._pages("/jobs", limit=limit, **filters)

    def cancel(self, job: str) -> results.Job:
        """Cancel a job, or every element of an array."""
        found: results.Job = self._send("POST", at("jobs", job, "cancel"))
        return found

    def idle(self, *, org: str | None = None, days: float = 30.0) -> Rows[Any]:
        """Return accelerator-hours that jobs held without using them, by project, with cost and saving."""
        found: Rows[Any] = self._get("/idle-accelerators", org=org, days=days)["items"]
        return found

    def why(self, job: str) -> results.Why:
        """Return why a job waits, or why it runs on its nodes."""
        found: results.Why = self._get(at("jobs", job, "why"))
        return found

    def timeline(self, job: str) -> Rows[results.Timeline]:
        """Return the history of a job: every change of state with its reason."""
        found: Rows[results.Timeline] = self._get(at("jobs", job, "timeline"))["items"]
        return found

    def attempts(self, job: str) -> Rows[results.Attempt]:
        """Return the attempts of a job."""
        found: Rows[results.Attempt] = self._get(at("jobs", job, "attempts"))["items"]
        return found

    def checkpoints(self, job: str) -> results.Checkpoints:
        """Return what a job has saved in $PEARL_CHECKPOINT, newest first."""
        found: results.Checkpoints = self._get(at("jobs", job, "checkpoints"))
        return found

    def metrics(self, job: str, **params: object) -> Rows[results.Sample]:
        """Return measured use of a job over time, and the metrics that it wrote itself."""
        found: Rows[results.Sample] = self._get(at("jobs", job, "metrics"), **params)["items"]
        return found

    def cost(self, job: str) -> results.Cost:
        """Return the cost of a job so far, by resource."""
        found: results.Cost = self._get(at("jobs", job, "cost"))
        return found

    def usage(self, job: str) -> Rows[results.Span]:
        """Return the usage spans that a job is billed for."""
        found: Rows[results.Span] = self._get(at("jobs", job, "usage"))["items"]
        return found

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of job specifications."""
        found: dict[str, Any] = self._get("/jobs/schema")
        return found

    def artefacts(self, job: str) -> Rows[results.Artefact]:
        """Return the artefacts that a job left."""
        found: Rows[results.Artefact] = self._get(at("jobs", job, "artefacts"))["items"]
        return found

    def logs(
        self, job: str, *, rank: int = 0, follow: bool = False, attempt: str | None = None
    ) -> Iterator[bytes]:
        """Yield the log of a task in parts; with `follow`, until the task ends. After a lost connection it continues where it stopped."""
        offset = 0
        lost_s: float | None = None
        while True:
            params = {"rank": rank, "attempt": attempt, "offset": offset, "follow": str(follow).lower()}
            try:
                with self._transport.stream(PREFIX + at("jobs", job, "logs"), params) as answer:
                    begin = offset
                    for part in answer.iter_bytes():
                        offset += len(part)
                        lost_s = None
                        yield part
                    if follow or answer.headers.get("x-ended") == "true" or offset == begin:
                        return
                    offset = int(answer.headers.get("x-next-offset", offset))
            except (Unreachable, ApiError) as error:
                lost_s = time.monotonic() if lost_s is None else lost_s
                if not follow or error.status != 503 or time.monotonic() - lost_s > PATIENCE_S:
                    raise
                time.sleep(RECONNECT_S)

    def wait(self, job: str, *, timeout_s: float | None = None, pause_s: float = 0.3) -> results.Job:
        """Wait until a job has ended, also over a restart of the center, and return it. Raises TimeoutError."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = patiently(lambda: self.get(job))
            if found["state"] in ENDED:
                return found
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"job {job} is still {found['state']}")
            time.sleep(pause_s)


class Files(Noun):
    """Uploads and artefacts."""

    def upload(
        self,
        path: Path,
        *,
        name: str | None = None,
        org: str | None = None,
        project: str | None = None,
        idempotency_key: str | None = None,
        progress: Callable[[int], None] = lambda sent_bytes: None,
    ) -> results.Upload:
        """Upload a file; a specification names it by the result's id. `progress` is called with the bytes sent so far."""

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
                    progress(file.tell())

        params = {"name": name or path.name, "org": org, "project": project}
        headers = {"content-type": "application/octet-stream"}
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        answer = self._transport.request(
            "POST", f"{PREFIX}/uploads", content=chunks, params=params, headers=headers
        )
        found: results.Upload = answer.json()
        return found

    def list(self, org: str | None = None) -> Iterator[results.Upload]:
        """Yield the uploads of an organisation, newest first."""
        return self._pages("/uploads", org=org)

    def get(self, upload: str) -> results.Upload:
        """Return an upload by id."""
        found: results.Upload = self._get(at("uploads", upload))
        return found

    def download(self, artefact: str, target: Path) -> int:
        """Download an artefact to `target`; returns its size in bytes. The file appears whole or not at all."""
        return self._write(PREFIX + at("artefacts", artefact), target)

    def export(self, org: str, target: Path) -> int:
        """Download the archive of an organisation's data to `target`, a tar.gz; returns its size in bytes."""
        return self._write(PREFIX + at("orgs", org, "export"), target)

    def _write(self, path: str, target: Path) -> int:
        temporary = target.with_name(target.name + ".part")
        target.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with self._transport.stream(path) as answer, temporary.open("wb") as file:
            for part in answer.iter_bytes():
                size += len(part)
                file.write(part)
        temporary.replace(target)
        return size

    def download_all(self, job: str, folder: Path) -> Sequence[Path]:
        """Download every artefact of a job into `folder`, at its own path. Raises NotFound for a path outside it."""
        kept = []
        for item in Jobs(self._transport).artefacts(job):
            target = (folder / item["path"]).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise NotFound(text("The artefact {path} would leave the folder", path=item["path"]))
            self.download(item["id"], target)
            kept.append(target)
        return kept


class Nodes(Noun):
    """Machines and accelerators."""

    def list(self, engine: str | None = None) -> results.Nodes:
        """Return all nodes, or those of one engine, and the capacity of the whole pool."""
        found: results.Nodes = self._get("/nodes", engine=engine)
        return found

    def drain(self, node: str, reason: str = "") -> results.Drain:
        """Drain a node: no new work is placed on it."""
        found: results.Drain = self._send("POST", at("nodes", node, "drain"), {"reason": reason})
        return found

    def undrain(self, node: str) -> results.Drain:
        """Use a drained node again."""
        found: results.Drain = self._send("POST", at("nodes", node, "undrain"))
        return found

    def burn_in(self, *nodes: str, all_nodes: bool = False) -> Rows[results.BurnIn]:
        """Request a burn-in of nodes, or of all that are present."""
        found: Rows[results.BurnIn] = self._send(
            "POST", "/burn-ins", {"nodes": list(nodes), "all": all_nodes}
        )["items"]
        return found

    def burn_ins(self, node: str | None = None) -> Rows[results.BurnIn]:
        """Return the newest burn-ins of all nodes, or of one."""
        found: Rows[results.BurnIn] = self._get("/burn-ins", node=node)["items"]
        return found

    def set_health_rules(self, node: str, *, automatic: bool) -> results.NodeHealthRules:
        """Let health rules drain a node, or only warn of its errors."""
        found: results.NodeHealthRules = self._send(
            "PUT", at("nodes", node, "health"), {"automatic": automatic}
        )
        return found

    def forget(self, node: str) -> results.ForgottenNode:
        """Remove a node that its engine no longer reports."""
        found: results.ForgottenNode = self._send("DELETE", at("nodes", node))
        return found

    def keep_benchmark(self, node: str, result: Mapping[str, object]) -> results.Kept:
        """Store benchmark results of a node."""
        found: results.Kept = self._send("POST", at("nodes", node, "benchmarks"), {"result": dict(result)})
        return found

    def accelerators(self, name: str | None = None) -> Rows[results.Accelerator]:
        """Return the catalogue of accelerators."""
        found: Rows[results.Accelerator] = self._get("/accelerators", name=name)["items"]
        return found


class Client:
    """One center, seen by one key. Close it, or use it in a `with`.

    Without `url`, address, key and certificate authority come from `PEARL_URL`, `PEARL_KEY` and `PEARL_CA`, else from the
    profile that `pearl login` saved; raises NotSignedIn where there is no key. With `url`, nothing is taken from there.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        language: str = "en",
        timeout_s: float = 30.0,
        http: httpx.BaseTransport | None = None,
        verify: bool | str = True,
    ) -> None:
        if url is None:
            used = signed_in() if key is None else active()
            url, key = used.url.rstrip("/"), key or used.key
            verify = used.ca if used.ca is not None and verify is True else verify
        self._transport = Transport(
            url, key, language=language, timeout_s=timeout_s, http=http, verify=verify
        )
        self.jobs = Jobs(self._transport)
        self.files = Files(self._transport)
        self.hub = Repositories(self._transport)
        self.shells = Shells(self._transport)
        self.nodes = Nodes(self._transport)
        self.engines = Engines(self._transport)
        self.session = Session(self._transport)
        self.keys = Keys(self._transport)
        self.users = Users(self._transport)
        self.orgs = Orgs(self._transport)
        self.invitations = Invitations(self._transport)
        self.projects = Projects(self._transport)
        self.secrets = Secrets(self._transport)
        self.credit = Credit(self._transport)
        self.invoices = Invoices(self._transport)
        self.budgets = Budgets(self._transport)
        self.prices = Prices(self._transport)
        self.ledger = Ledger(self._transport)
        self.quotas = Quotas(self._transport)
        self.storage = Storage(self._transport)
        self.shares = Shares(self._transport)
        self.audit = Audit(self._transport)
        self.trace = Trace(self._transport)
        self.backups = Backups(self._transport)
        self.incidents = Incidents(self._transport)
        self.policy = Policy(self._transport)
        self.energy = Energy(self._transport)
        self.what_ifs = WhatIfs(self._transport)
        self.builds = Builds(self._transport)
        self.quotes = Quotes(self._transport)
        self.calibration = Calibration(self._transport)
        self.queues = Queues(self._transport)
        self.windows = Windows(self._transport)
        self.decisions = Decisions(self._transport)
        self.notices = Notices(self._transport)
        self.webhooks = Webhooks(self._transport)

    @property
    def url(self) -> str:
        """URL of the center."""
        return self._transport.url

    def center(self) -> results.Center:
        """Return the center's name, version, engines and notices."""
        found: results.Center = self._transport.request("GET", f"{PREFIX}/center").json()
        return found

    def health(self) -> results.Health:
        """Return whether the center can answer requests."""
        found: results.Health = self._transport.request("GET", "/health").json()
        return found

    def request(self, method: str, path: str, body: object = None, **params: object) -> Any:
        """Send any request under /api/v1 and return the JSON of its response. Raises ApiError, Unreachable."""
        answer = self._transport.request(method, PREFIX + path, json=body, params=params)
        return answer.json() if answer.content else None

    def wait_closed(self, org: str, *, pause_s: float = 1.0) -> results.Closing:
        """Wait until an organisation that is being closed is closed."""
        while True:
            found: results.Closing = patiently(lambda: self.request("GET", f"/orgs/{org}/closing"))
            if found["phase"] == "closed":
                return found
            time.sleep(pause_s)

    def pages(self, path: str, **params: object) -> Iterator[Any]:
        """Yield every row of a paged list under /api/v1. Raises ApiError, Unreachable."""
        return Noun(self._transport)._pages(path, **params)

    def raw(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        content_type: str = "",
        **params: object,
    ) -> httpx.Response:
        """Send a request like `request`, for bodies and responses that are not JSON."""
        headers = {"content-type": content_type} if content_type else {}
        return self._transport.request(method, PREFIX + path, content=content, params=params, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key_of_part(key: str | None, number: int) -> str | None:
    """Return the Idempotency-Key of one of several requests that stand for one call."""
    return None if key is None else f"{key[:240]}-{number}"


def patiently(call: Callable[[], T], *, patience_s: float = PATIENCE_S) -> T:
    """`call`, repeated while the center does not answer, for as long as a restart may take. Raises Unreachable."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except Unreachable:
            if time.monotonic() > until:
                raise
            time.sleep(RECONNECT_S)
