"""The center's side of the exchange: an HTTP server of its own, for the nodes of running attempts and nobody else.

GET  /program/SHA256                             the program of the nodes, without a token: it holds no secret
POST /attempts/ID/nodes/N/claim                  a node reports, with the attempt's token, and gets one of its own
GET  /attempts/ID/nodes/N/order                  what it is to run
GET  /attempts/ID/nodes/N/archives/NAME          `work`, `checkpoint` or `mount-NUMBER` as a tar stream
GET  /attempts/ID/nodes/N/control                whether it must stop
PUT  /attempts/ID/nodes/N/files?path=P&offset=O  a part of a log, of samples, of an output or of a checkpoint
DELETE /attempts/ID/nodes/N/files?path=P         a part of a log that the node dropped
PUT  /attempts/ID/nodes/N/records/NAME           `state` or `plan`
POST /attempts/ID/nodes/N/keep                   outputs or entries of the checkpoint are complete
POST /trials/TOKEN                               what a trial job of the engine's checks saw; each token once, for a minute
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from pearlstreet.compute.engines.cluster.exchange.archives import write_folder
from pearlstreet.compute.engines.cluster.exchange.mirror import (
    DiskUse,
    MirroredAttempt,
    NodeMirror,
    OffsetMismatch,
    RefusedWrite,
)
from pearlstreet.compute.engines.cluster.exchange.tokens import Tokens, is_same
from pearlstreet.compute.engines.orders import plain_id

CONNECTIONS_MAX = 512
CONNECTIONS_PER_ADDRESS = 128
SILENT_S = 20.0
"""Time after which a connection on which nothing moves is closed."""
PART_BYTES_MAX = 4 << 20
JSON_BYTES_MAX = 1 << 20
CHUNK_BYTES = 1 << 17
TRIAL_BYTES_MAX = 4096
USES_MAX = 10_000
NONCE = re.compile(r"[0-9a-f]{32,64}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the listener needs of an engine."""

    program: Callable[[str], bytes | None]
    """Returns the program of the nodes by its SHA-256; that of an earlier version, too, which jobs still carry that wait."""
    tokens: Tokens
    attempt: Callable[[str], MirroredAttempt | None]
    """Returns a running attempt by id; None: it is unknown, or has ended."""
    order: Callable[[MirroredAttempt], Mapping[str, Any]]
    archive: Callable[[MirroredAttempt, str], Path | None]
    """Returns the folder of an archive by name; None: there is none of that name."""
    keep_trial: Callable[[str, bytes], bool]
    """Keeps what a trial job saw; False: no check waits for it."""


class Listener:
    """A running HTTP server of the exchange, on a thread of its own. Raises OSError if the address is taken."""

    def __init__(self, exchange: Exchange, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        handler = type("Handler", (_Handler,), {"exchange": exchange, "uses": _Uses()})
        self._server = _Server((host, port), handler, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="exchange", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Take no more connections, and end those that are open."""
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Any, tls: ssl.SSLContext | None) -> None:
        self._tls, self._guard, self._open = tls, threading.Lock(), Counter[str]()
        self._sockets: dict[threading.Thread, socket.socket] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        address = str(client_address[0])
        with self._guard:
            is_full = self._open.total() >= CONNECTIONS_MAX or self._open[address] >= CONNECTIONS_PER_ADDRESS
            self._open[address] += not is_full
        if is_full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            request.settimeout(SILENT_S)
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            with self._guard:
                self._sockets[threading.current_thread()] = request
            super().process_request_thread(request, client_address)
        except OSError:
            self.shutdown_request(request)
        finally:
            with self._guard:
                self._sockets.pop(threading.current_thread(), None)
                self._open[str(client_address[0])] -= 1
                self._open += Counter()  # drops addresses without connections

    def end_connections(self) -> None:
        """End the open connections and wait for their requests: a later listener over the same attempts must be the only one."""
        with self._guard:
            left = dict(self._sockets)
        for connection in left.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left:
            thread.join(SILENT_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that goes away is no event."""


class _Uses:
    """Use of the disk by attempt, counted once and kept while the server runs."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: dict[str, DiskUse] = {}

    def of(self, attempt: MirroredAttempt) -> DiskUse:
        with self._guard:
            if attempt.attempt_id not in self._known:
                while len(self._known) >= USES_MAX:
                    del self._known[next(iter(self._known))]
                self._known[attempt.attempt_id] = DiskUse(attempt.folder, attempt.checkpoint)
            return self._known[attempt.attempt_id]


class _Failure(Exception):
    def __init__(self, status: int, **content: object) -> None:
        self.status, self.content = status, content
        super().__init__(status)


class _Handler(BaseHTTPRequestHandler):
    exchange: ClassVar[Exchange]
    uses: ClassVar[_Uses]
    protocol_version = "HTTP/1.1"
    server_version = "pearlstreet"
    sys_version = ""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: addresses of requests name attempts, and there is one a second for each node."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        length = self.headers.get("Content-Length") or "0"
        self._unread_bytes = int(length) if length.isdecimal() and len(length) < 13 else PART_BYTES_MAX + 1
        try:
            url = urlsplit(self.path)
            self._query = parse_qs(url.query, encoding="utf-8", errors="surrogateescape")
            parts = url.path.split("/")[1:]
            if (method, parts[0]) == ("GET", "program"):
                program = self.exchange.program("/".join(parts[1:]))
                if program is None:
                    raise _Failure(404)
                self._send(200, program, "application/gzip")
                return
            if method == "POST" and parts[0] == "trials" and len(parts) == 2:
                if not self.exchange.keep_trial(parts[1], self._body(TRIAL_BYTES_MAX)):
                    raise _Failure(404)
                self._answer(200, {})
                return
            if len(parts) < 5 or parts[0] != "attempts" or parts[2] != "nodes":
                raise _Failure(404)
            self._for_node(method, parts[1], parts[3], "/".join(parts[4:]))
        except _Failure as failure:
            self._answer(failure.status, failure.content)
        except OffsetMismatch as mismatch:
            self._answer(409, {"size": mismatch.size_bytes})
        except RefusedWrite:
            self._answer(403, {})
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer(400, {})
        except (TimeoutError, ConnectionError):
            self.close_connection = True
        except OSError:
            self._answer(507, {})

    def _for_node(self, method: str, attempt_id: str, number: str, rest: str) -> None:
        attempt = self.exchange.attempt(attempt_id) if plain_id(attempt_id) else None
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if attempt is None:
            raise _Failure(404)
        if not number.isdecimal() or len(number) > 6 or int(number) >= attempt.nodes:
            raise _Failure(404)
        node = NodeMirror(attempt, int(number), self.uses.of(attempt))
        tokens = self.exchange.tokens
        if (method, rest) == ("POST", "claim"):
            if not is_same(token, tokens.of_attempt(attempt_id)):
                raise _Failure(401)
            nonce = str(self._json()["nonce"])
            if NONCE.fullmatch(nonce) is None:
                raise _Failure(400)
            if not node.claim(nonce):
                raise _Failure(409)
            self._answer(200, {"token": tokens.of_node(attempt_id, int(number), nonce)})
            return
        nonce = node.nonce
        if not nonce or not is_same(token, tokens.of_node(attempt_id, int(number), nonce)):
            raise _Failure(401)
        self._serve_node(method, rest, attempt, node)

    def _serve_node(self, method: str, rest: str, attempt: MirroredAttempt, node: NodeMirror) -> None:
        kind, _, name = rest.partition("/")
        if (method, rest) == ("GET", "order"):
            self._answer(200, self.exchange.order(attempt))
        elif (method, rest) == ("GET", "control"):
            self._answer(200, {"stop": attempt.stop})
        elif (method, kind) == ("GET", "archives"):
            folder = self.exchange.archive(attempt, name)
            if folder is None:
                raise _Failure(404)
            self._stream(folder)
        elif (method, rest) == ("PUT", "files"):
            size = node.append(self._path(), int(self._query["offset"][0]), self._body(PART_BYTES_MAX))
            self._answer(200, {"size": size})
        elif (method, rest) == ("DELETE", "files"):
            node.remove(self._path())
            self._answer(200, {})
        elif (method, kind) == ("PUT", "records"):
            node.write_record(name, self._json())
            self._answer(200, {})
        elif (method, rest) == ("POST", "keep"):
            self._keep(node, self._json())
            self._answer(200, {})
        else:
            raise _Failure(404)

    def _keep(self, node: NodeMirror, value: Mapping[str, Any]) -> None:
        if value.get("kind") == "uploading":
            node.note_upload()
        elif value.get("kind") == "outputs":
            node.keep_outputs()
        elif value.get("kind") == "checkpoint":
            entries, present = value["entries"], value.get("present")
            if not isinstance(entries, list) or not (present is None or isinstance(present, list)):
                raise _Failure(400)
            node.keep_checkpoint(entries, present)
        else:
            raise _Failure(400)

    def _path(self) -> str:
        """Return the path of a file, whose bytes need not be UTF-8."""
        return self._query["path"][0]

    def _body(self, most_bytes: int) -> bytes:
        length = self._unread_bytes
        if length > most_bytes:
            raise _Failure(413)
        self._unread_bytes = 0
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionResetError
        return data

    def _json(self) -> Mapping[str, Any]:
        value = json.loads(self._body(JSON_BYTES_MAX))
        if not isinstance(value, dict):
            raise _Failure(400)
        return value

    def _answer(self, status: int, content: Mapping[str, object]) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        with contextlib.suppress(OSError):
            if self._unread_bytes > PART_BYTES_MAX:
                self.close_connection = True
            elif (
                self._unread_bytes
            ):  # a client that still sends would find the connection broken, and not the answer
                self.rfile.read(self._unread_bytes)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def _stream(self, folder: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        out = _Chunks(self.wfile)
        try:
            write_folder(folder, out)  # type: ignore[arg-type]
            out.finish()
        except Exception:  # noqa: BLE001  # the missing last chunk tells the node that the stream is not whole
            self.close_connection = True


class _Chunks:
    """A file whose content is sent in HTTP's chunks."""

    def __init__(self, out: Any) -> None:
        self._out, self._held = out, bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        if len(self._held) >= CHUNK_BYTES:
            self._flush()
        return len(data)

    def finish(self) -> None:
        self._flush()
        self._out.write(b"0\r\n\r\n")

    def _flush(self) -> None:
        if self._held:
            self._out.write(b"%x\r\n%b\r\n" % (len(self._held), bytes(self._held)))
            self._held.clear()
