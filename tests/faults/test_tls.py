"""TLS by files, an authority of one's own, and a proxy in front."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pearlstreet.app.settings import Settings
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.client import Client, Unreachable
from tests.crash.server import Server
from tests.fakes.receivers import key_extensions


def _certificate(folder: Path, name: str, *, host: str | None = None, by: Any = None) -> Any:
    """(certificate, key), also as files `name`.pem and `name`.key; without `by` it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = (by[0].subject, by[1]) if by else (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        builder = builder.add_extension(names, critical=False)
    for extension in key_extensions(key.public_key(), signer.public_key(), authority=host is None):
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.KeyUsage))
    made = builder.sign(signer, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(private)
    return made, key


def test_wrong_files_are_refused_without_using_up_the_first_keys(tmp_path: Path) -> None:
    authority = _certificate(tmp_path, "authority")
    _certificate(tmp_path, "center", host="::1", by=authority)
    cert, key = tmp_path / "center.pem", tmp_path / "center.key"
    server = Server(tmp_path / "data", "--listen", "::1", "--tls-cert", str(cert))
    try:
        said = server.refused(PEARL_TLS_KEY=str(tmp_path / "authority.key"))
        assert "cannot be used" in said
        server.start(PEARL_TLS_KEY=str(key))
        url = f"https://[::1]:{server.port}"
        with Client(url, server.keys["system"], verify=str(tmp_path / "authority.pem")) as center:
            assert center.request("GET", "/me")["user"]["name"] == "system"
        with Client(url, server.keys["system"]) as center, pytest.raises(Unreachable) as refused:
            center.request("GET", "/me")
        assert "--ca" in str(refused.value.hint)
    finally:
        server.clean_up()
    with pytest.raises(ConfigurationError, match="authority"):
        Client(url, None, verify=str(tmp_path / "absent.pem"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "believed"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
    ],
    ids=["from the proxy", "what a client made up stands first", "not from the proxy"],
)
def test_a_clients_own_forwarded_address_is_not_believed(peer: str, forwarded: str, believed: str) -> None:
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", forwarded.encode())]
    scope: Any = {"type": "http", "client": (peer, 5), "scheme": "http", "headers": headers}
    proxies = Settings(data=Path("/d"), behind_proxy=True).proxies
    nothing: Any = None
    asyncio.run(ProxyHeadersMiddleware(app, proxies)(scope, nothing, nothing))  # type: ignore[arg-type]
    assert seen == [believed]
