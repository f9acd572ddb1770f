"""The nodes' side of the exchange: requests to the center, repeated until it answers. Standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import tarfile
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

TIMEOUT_S = 60.0
PAUSE_S = 1.0
PAUSE_MAX_S = 10.0
ANSWER_BYTES_MAX = 64 << 20
PART_BYTES = 1 << 20


class Refused(Exception):
    """Raised if the center refuses a request: repeating it will not help."""

    def __init__(self, status: int, content: Mapping[str, Any]) -> None:
        self.status, self.content = status, content
        super().__init__(f"the center answers {status}")


class Unreachable(Exception):
    """Raised if the center did not answer within the time."""


class Center:
    """The center, as one node of an attempt reaches it. Not for several threads: each has its own."""

    def __init__(self, address: str, attempt_id: str, number: int, authority: str = "") -> None:
        self._url = urlsplit(address)
        self._base = f"{self._url.path.rstrip('/')}/attempts/{attempt_id}/nodes/{number}"
        self._authority = authority
        self._connection: http.client.HTTPConnection | None = None
        self.token = ""

    def copy(self) -> Center:
        """Return another connection with the same token."""
        copied = Center.__new__(Center)
        copied._url, copied._base, copied._authority = self._url, self._base, self._authority
        copied._connection, copied.token = None, self.token
        return copied

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def claim(self, token: str, nonce: str, *, within_s: float) -> None:
        """Report as this node of the attempt. Raises Refused, Unreachable."""
        self.token = token
        self.token = str(self.call("POST", "claim", {"nonce": nonce}, within_s=within_s)["token"])

    def call(
        self, method: str, path: str, value: object = None, *, data: bytes | None = None, within_s: float
    ) -> Mapping[str, Any]:
        """Send a request until it is answered; the answer's JSON. Raises Refused, Unreachable."""
        body = data if data is not None else b"" if value is None else json.dumps(value).encode()
        until_s, pause_s = time.monotonic() + within_s, PAUSE_S
        while True:
            try:
                answer = self._request(method, path, body)
                content = answer.read(ANSWER_BYTES_MAX)
                if answer.will_close:
                    self.close()
                if answer.status < 300:
                    return _object(content)
                if answer.status < 500:
                    raise Refused(answer.status, _object(content))
                reason = f"it answers {answer.status}"
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = str(error)
            self.close()
            if time.monotonic() + pause_s > until_s:
                raise Unreachable(reason)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def put_part(self, path: str, offset: int, data: bytes, *, within_s: float) -> int:
        """Send a part of a file; the size that the center has then. Raises Refused, Unreachable."""
        where = f"files?path={quote(os.fsencode(path), safe='')}&offset={offset}"
        return int(self.call("PUT", where, data=data, within_s=within_s)["size"])

    def drop(self, path: str, *, within_s: float) -> None:
        """Delete a part of a log. Raises Refused, Unreachable."""
        self.call("DELETE", f"files?path={quote(os.fsencode(path), safe='')}", within_s=within_s)

    def unpack(self, name: str, folder: str, *, within_s: float) -> None:
        """Unpack an archive into an empty folder; after a lost connection anew, with `overwriting`. Raises Refused, Unreachable."""
        until_s = time.monotonic() + within_s
        while True:
            try:
                answer = self._request("GET", f"archives/{name}", b"")
                if answer.status == 200:
                    _unpack(answer, folder)
                    answer.read()  # raises if the last chunk is missing
                    return
                if answer.status < 500:
                    raise Refused(answer.status, _object(answer.read(ANSWER_BYTES_MAX)))
                reason = f"it answers {answer.status}"
            except (OSError, http.client.HTTPException, tarfile.TarError) as error:
                reason = str(error)
            finally:
                self.close()
            if time.monotonic() + PAUSE_S > until_s:
                raise Unreachable(reason)
            time.sleep(PAUSE_S)

    def _request(self, method: str, path: str, body: bytes) -> http.client.HTTPResponse:
        connection = self._connection or self._connect()
        self._connection = connection
        headers = {"Authorization": f"Bearer {self.token}", "Content-Length": str(len(body))}
        connection.request(method, f"{self._base}/{path}", body=body, headers=headers)
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        if self._authority:
            context.load_verify_locations(cadata=self._authority)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def _object(content: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        value = json.loads(content)
        if isinstance(value, dict):
            return value
    return {}


def _unpack(stream: http.client.HTTPResponse, folder: str) -> None:
    """Unpack what the center packed of one folder: no member of it lies behind a link."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            parts = member.name.split("/")
            if member.name.startswith("/") or ".." in parts:
                raise tarfile.TarError(f"{member.name[:200]} leads out of the folder")
            path = f"{folder}/{member.name}"
            if member.isdir():
                os.makedirs(path, 0o700, exist_ok=True)  # noqa: PTH103
                os.chmod(path, member.mode | 0o700)  # noqa: PTH101
            elif member.issym():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108
                os.symlink(member.linkname, path)  # noqa: PTH211
            elif member.isreg():
                _write(archive, member, path)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = archive.extractfile(member)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        while source is not None and (part := source.read(PART_BYTES)):
            file.write(part)
        os.fchmod(file.fileno(), member.mode & 0o777)
    os.utime(path, (member.mtime, member.mtime))
