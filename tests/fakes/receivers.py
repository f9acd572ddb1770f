"""Real receivers of notices on this machine: an HTTP server that answers as told, a mail server that keeps its mail."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with `statuses` in turn (then with the last), and keeps what it got."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    location: str = ""
    answer: bytes = b"thanks"
    got: list[Got] = field(default_factory=list)


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """An HTTP server on loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            sent = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append(Got(self.path, sent, body))
            status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", str(len(receiver.answer)))
            self.end_headers()
            self.wfile.write(receiver.answer)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Post:
    """What a mail server was given."""

    port: int = 0
    mails: list[tuple[list[str], bytes]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Addresses it does not take."""
    logins: list[str] = field(default_factory=list)
    was_tls: list[bool] = field(default_factory=list)


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, *, password: str | None = None) -> Iterator[Post]:
    """An SMTP server on loopback; with `tls` it insists on STARTTLS, with `password` on a login."""
    post = Post()

    class Handler:
        async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, _: Any) -> str:
            if address in post.refused:
                return "550 no such mailbox"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            post.mails.append((list(envelope.rcpt_tos), bytes(envelope.content)))
            post.was_tls.append(session.ssl is not None)
            return "250 kept"

    def login(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        post.logins.append(data.login.decode())
        return AuthResult(success=data.password == (password or "").encode())

    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=_free_port(),
        tls_context=tls,
        require_starttls=tls is not None,
        authenticator=login if password is not None else None,
        auth_required=password is not None,
    )
    controller.start()
    post.port = controller.port
    try:
        yield post
    finally:
        controller.stop()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def key_extensions(own: Any, signer: Any, *, authority: bool) -> tuple[x509.ExtensionType, ...]:
    """What RFC 5280 asks of every certificate and Python refuses to do without from 3.13 on."""
    usage = dict.fromkeys(
        (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    usage |= {"digital_signature": True, "key_cert_sign": authority, "crl_sign": authority}
    return (
        x509.SubjectKeyIdentifier.from_public_key(own),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer),
        x509.KeyUsage(**usage),
    )


def own_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for 127.0.0.1 and localhost, and the file of the authority that vouches for it."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    for extension in key_extensions(key.public_key(), key.public_key(), authority=True):
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.KeyUsage))
    made = builder.sign(key, hashes.SHA256())
    certificate, private = folder / "own.pem", folder / "own.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate
