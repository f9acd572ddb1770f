"""Requests to signed addresses of an object store: no redirects, no proxies, no credentials beside the address itself."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TIMEOUT_S = 120.0
TRIES = 4
PAUSE_S = 2.0
ANSWER_BYTES_MAX = 1 << 20


class RequestFailed(OSError):
    """Raised if the object store refuses a request or does not answer; the address, which is a secret, is not named."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(0, f"the object store answers {status} {reason}" if status else reason)


class Download:
    """Reads the object at an address from its beginning; after a lost connection it goes on where it was."""

    def __init__(self, url: str, size_bytes: int) -> None:
        self._url, self._size_bytes, self._at = url, size_bytes, 0
        self._tries = TRIES
        self._answer: http.client.HTTPResponse | None = None
        self._connection: http.client.HTTPConnection | None = None

    def read(self, most_bytes: int) -> bytes:
        """Return at most `most_bytes` bytes. Raises OSError."""
        while True:
            try:
                data = (self._answer or self._request()).read(most_bytes)
                if data or self._at >= self._size_bytes:
                    self._at += len(data)
                    return data
                raise RequestFailed(0, "the object store ended the transfer early")
            except RequestFailed as error:
                if 400 <= error.status < 500:
                    raise
                self._again(error)
            except (OSError, http.client.HTTPException) as error:
                self._again(error)

    def close(self) -> None:
        """Close the connection."""
        if self._answer is not None:
            self._answer.close()
        if self._connection is not None:
            self._connection.close()
        self._answer = self._connection = None

    def _again(self, error: Exception) -> None:
        self.close()
        self._tries -= 1
        if self._tries <= 0:
            raise RequestFailed(0, str(error)[:200] or "the object store does not answer") from None
        time.sleep(PAUSE_S)

    def _request(self) -> http.client.HTTPResponse:
        self._connection, path = connect(self._url)
        headers = {"Range": f"bytes={self._at}-"} if self._at else {}
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        if self._answer.status != (206 if self._at else 200):
            raise RequestFailed(self._answer.status, self._answer.reason)
        return self._answer


def connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection to the host of an address, and what to request there."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S), path


def send(method: str, url: str, body: Iterable[bytes] = (), size_bytes: int = 0) -> dict[str, str]:
    """Send one request and return the headers of the answer, in lower case, with its text under ``. Raises OSError."""
    connection, path = connect(url)
    try:
        connection.request(method, path, body=body, headers={"Content-Length": str(size_bytes)})
        answer = connection.getresponse()
        said = answer.read(ANSWER_BYTES_MAX)
        if not 200 <= answer.status < 300:
            raise RequestFailed(answer.status, answer.reason)
        return {"": said.decode("utf-8", "replace")} | {
            name.lower(): value for name, value in answer.getheaders()
        }
    except http.client.HTTPException as error:
        raise RequestFailed(0, str(error)[:200] or "the object store does not answer") from None
    finally:
        connection.close()
