"""Reaches Slurm through slurmrestd, with tokens that the center signs itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.compute.engines.slurm.model import SlurmJob, SlurmNode, Submission
from pearlstreet.compute.engines.slurm.parsing import parse_accounts, parse_jobs, parse_nodes
from pearlstreet.compute.engines.slurm.requests import NAMES_NODES, SUBMIT_FORMS, UPDATES_NODES
from pearlstreet.compute.engines.slurm.tokens import TOKEN_LASTS_S, sign_token
from pearlstreet.compute.engines.slurm.transport import (
    NotReachedError,
    RejectedError,
    UncertainError,
    rejected,
)

TIMEOUT_S = 20.0
UNAUTHORISED = 401
REFUSED_TOKEN = ("unspecified error", "authentication")
"""Words of Slurm for a token that it refuses: 22.05 says only "Unspecified error", 24.11 "Protocol authentication error"."""
SIGNING_HINT = "is jwt_key the key of the cluster, and is the clock of this machine right?"
ACCOUNTING_HINT = "accounting needs slurmdbd, and slurmrestd with openapi/dbv0.0.38 (22.05) or slurmdbd (24.11) in its option -s"
FRESH_S = 1.0
"""Age up to which a token cannot be the reason of a failure that a new one would repair."""
UNIX = "unix:"
"""Prefix of an address that is a Unix socket of slurmrestd."""
GONE = frozenset({2017, 2021})
"""Errors of Slurm for a job that is unknown or over: ESLURM_INVALID_JOB_ID, ESLURM_ALREADY_DONE."""
NO_CONTACT = frozenset({1800, 1802, 6001})
"""Errors of slurmrestd that could not connect to slurmctld, which then has not got the request."""
UNPARSED = "failure during parsing"
"""What slurmrestd 22.05 says of a request that it did not send on, such as one with a gres of an unknown name."""
REJECTED_FROM, REJECTED_TO = 2000, 4999
"""Errors by which slurmctld itself refuses a request."""


class RestTransport:
    """slurmrestd at an address, in the newest version of its API that it offers and we know."""

    def __init__(self, address: str, key: Callable[[], bytes], *, api_user: str, clock: Clock) -> None:
        self._key, self._api_user, self._clock = key, api_user, clock
        socket = address.removeprefix(UNIX) if address.startswith(UNIX) else None
        transport = httpx.HTTPTransport(uds=socket) if socket else None
        base = "http://localhost" if socket else address.rstrip("/")
        self._client = httpx.Client(base_url=base, transport=transport, timeout=TIMEOUT_S, trust_env=False)
        self._guard = threading.Lock()
        self._tokens: dict[str, tuple[int, str]] = {}
        self._version = ""

    @property
    def names_nodes(self) -> bool:
        """Whether a submission can name its nodes."""
        return self._find_version() in NAMES_NODES

    def jobs(self) -> Sequence[SlurmJob]:
        return parse_jobs(self._get("jobs").get("jobs") or ())

    def nodes(self) -> Sequence[SlurmNode]:
        return parse_nodes(self._get("nodes").get("nodes") or ())

    def topology(self) -> str:
        return ""  # neither v0.0.38 nor v0.0.42 tells it; the key topology_conf of the engine names the file

    def submit(self, job: Submission) -> int:
        version = self._find_version()
        try:
            answer = self._call("POST", f"{version}/job/submit", job.user, SUBMIT_FORMS[version](job))
        except RejectedError as error:
            raise rejected(str(error), job) from error
        number = answer.get("job_id")
        if not isinstance(number, int) or number <= 0:
            raise UncertainError("slurmrestd gave no job id")
        return number

    def set_drain(self, node: str, reason: str | None) -> None:
        version = self._find_version()
        if version not in UPDATES_NODES:
            raise RejectedError(f"slurmrestd {version} cannot drain nodes; drain it with scontrol")
        body = {"state": ["RESUME"]} if reason is None else {"state": ["DRAIN"], "reason": reason}
        self._call("POST", f"{version}/node/{node}", self._api_user, body)

    def cancel(self, job_id: int, user: str) -> None:
        self._call("DELETE", f"{self._find_version()}/job/{job_id}", user, ignored=GONE)

    def accounts(self, since_s: int) -> Sequence[SlurmJob]:
        path = f"/slurmdb/{self._find_version()}/jobs?start_time=uts{since_s}"
        try:
            return parse_accounts(self._call("GET", path, self._api_user).get("jobs") or ())
        except NotReachedError as error:
            raise NotReachedError(f"{error}; {ACCOUNTING_HINT}") from error

    def close(self) -> None:
        self._client.close()

    def _get(self, what: str) -> Mapping[str, Any]:
        return self._call("GET", f"{self._find_version()}/{what}", self._api_user)

    def _find_version(self) -> str:
        """Return the version of the API that is used. Raises NotReachedError if slurmrestd does not answer."""
        if not self._version:
            paths = self._call("GET", "/openapi/v3", self._api_user).get("paths") or {}
            offered = {word for path in paths for word in str(path).split("/")}
            known = [version for version in SUBMIT_FORMS if version in offered]
            if not known:
                raise NotReachedError(f"slurmrestd offers none of {', '.join(SUBMIT_FORMS)}")
            self._version = known[-1]
        return self._version

    def _call(
        self, method: str, path: str, user: str, body: Any = None, *, ignored: frozenset[int] = frozenset()
    ) -> Mapping[str, Any]:
        status, value = self._request(method, path, user, body)
        if status >= 300 and self._forget_token(user) and (method == "GET" or status == UNAUTHORISED):
            # The key, or the time of this machine, may have changed since the token was signed.
            status, value = self._request(method, path, user, body)
        errors = value.get("errors")
        if status < 300 and not errors:
            return value
        self._forget_token(user)
        return self._failed(status, errors or [], ignored, is_read=method == "GET")

    def _request(self, method: str, path: str, user: str, body: Any) -> tuple[int, Mapping[str, Any]]:
        url = path if path.startswith("/") else f"/slurm/{path}"
        headers = {"X-SLURM-USER-NAME": user, "X-SLURM-USER-TOKEN": self._token(user)}
        try:
            answer = self._client.request(method, url, headers=headers, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotReachedError(f"slurmrestd cannot be reached: {error}") from error
        except httpx.HTTPError as error:
            raise UncertainError(f"slurmrestd did not answer: {error!r}") from error
        try:
            value = answer.json()
        except ValueError:
            value = {}
        if not isinstance(value, Mapping):
            value = {"errors": [{"error": "slurmrestd gave no object"}]}
        return answer.status_code, value

    def _failed(
        self, status: int, errors: Sequence[Mapping[str, Any]], ignored: frozenset[int], *, is_read: bool
    ) -> Mapping[str, Any]:
        first = errors[0] if errors and isinstance(errors[0], Mapping) else {}
        code = first.get("error_number", first.get("error_code"))
        said = str(first.get("error") or first.get("description") or f"status {status}")[:300]
        if code in ignored:
            return {}
        if status == UNAUTHORISED or (is_read and any(words in said.lower() for words in REFUSED_TOKEN)):
            raise NotReachedError(f"{said}; {SIGNING_HINT}")
        if is_read or code in NO_CONTACT or status in (403, 502, 503, 511):
            raise NotReachedError(said)
        if UNPARSED in said.lower():
            raise RejectedError(said)
        if isinstance(code, int) and REJECTED_FROM <= code <= REJECTED_TO:
            raise RejectedError(said)
        raise UncertainError(said)

    def _token(self, user: str) -> str:
        """Return a token that is valid for half of its lifetime at least."""
        now_us = self._clock.now_us()
        with self._guard:
            known = self._tokens.get(user)
            if known is None or not known[0] <= now_us < known[0] + TOKEN_LASTS_S * US_PER_S // 2:
                known = (now_us, sign_token(self._key(), user, now_us=now_us))
                self._tokens[user] = known
        return known[1]

    def _forget_token(self, user: str) -> bool:
        """Sign a new token for the next request. Returns whether the last one was signed more than a moment ago."""
        with self._guard:
            known = self._tokens.pop(user, None)
        return known is not None and abs(self._clock.now_us() - known[0]) > FRESH_S * US_PER_S


def key_reader(path: Path) -> Callable[[], bytes]:
    """Return a function that reads the key anew each time. It raises NotReachedError if it cannot."""

    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise NotReachedError(f"the key {path} cannot be read: {error.strerror}") from error

    return read
