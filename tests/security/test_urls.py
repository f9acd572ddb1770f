"""Addresses that tenants and providers name, at every door that would call one: nothing of the inner network is asked."""

from __future__ import annotations

import http.server
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.errors import InvalidInput, PearlError
from pearlstreet.base.urls import check_outgoing, parse_outgoing
from pearlstreet.compute.jobs.sources import fetch_command
from pearlstreet.tenancy.notices.posting import check_url
from pearlstreet.tenancy.oidc import OidcProvider
from pearlstreet.tenancy.oidc_client import OidcClient
from pearlstreet.workload.spec.model import GitSource
from pearlstreet.workload.spec.parse import parse_json
from tests.api.world import JOB, World, a_world
from tests.engines_present import has_program, need
from tests.unit.base.test_urls import BAD

PUBLIC = "140.82.112.3"
INNER = (
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "169.254.170.2", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::", "::127.0.0.1", "2001:db8::1",
)  # fmt: skip
"""Addresses that a public name may suddenly stand for: loopback, private, link-local, metadata, and their disguises."""
KINDS = {
    "loopback": ("https://127.0.0.1/x", "https://[::1]/x"),
    "decimal, octal, hexadecimal": ("https://2130706433/x", "https://017700000001/x", "https://0x7f000001/x"),
    "mapped": ("https://[::ffff:127.0.0.1]/x", "https://[::ffff:169.254.169.254]/"),
    "metadata": ("https://169.254.169.254/latest/meta-data/", "https://100.100.100.200/latest/meta-data/"),
    "userinfo": ("https://github.com@127.0.0.1/x", "https://user:pass@github.com/x"),
    "ports": ("https://github.com:22/x", "https://github.com:6379/x"),
    "other schemes": ("file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://github.com/x"),
    "git's own": ("git@github.com:org/repo.git", "ext::sh -c touch% /tmp/x", "ssh://git@github.com/x"),
}


class Names:
    """A name server of the attacker's: what a name stands for changes from one question to the next."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        return [self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]]


class Host:
    """A server of the inner network that remembers who came; `to`: it sends everybody on."""

    def __init__(self, to: str = "") -> None:
        seen: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.path)
                self.send_response(302 if to else 200)
                if to:
                    self.send_header("location", to + self.path)
                self.end_headers()
                if not to:
                    self.wfile.write(b"{}")

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.seen = seen
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"


@contextmanager
def host(to: str = "") -> Iterator[Host]:
    """Until the end of the block."""
    made = Host(to)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join(10)
        made.server.server_close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        yield made


def test_the_corpus_is_large_and_of_every_kind() -> None:
    assert len(set(BAD)) >= 100
    for kind, urls in KINDS.items():
        for url in urls:
            with pytest.raises(InvalidInput):
                check_outgoing(url, Names(PUBLIC))
        assert urls, kind


def test_a_job_cannot_name_one() -> None:
    for url in BAD:
        with pytest.raises(InvalidInput):
            parse_json({**JOB, "git": {"url": url}})


def test_the_api_refuses_them_in_a_job_and_in_a_webhook(world: World) -> None:
    honest = f"https://{PUBLIC}/x"
    assert world.post("/jobs", json={**JOB, "git": {"url": honest}}).status_code == 201
    assert world.post("/orgs/acme/webhooks", json={"url": honest, "kinds": ["job.failed"]}).is_success
    for url in BAD[::4]:
        job = world.post("/jobs", json={**JOB, "git": {"url": url}})
        hook = world.post("/orgs/acme/webhooks", json={"url": url, "kinds": ["job.failed"]})
        assert job.status_code == 422, (url, job.text)
        assert hook.status_code == 422, (url, hook.text)


def test_no_command_of_git_is_made_for_one() -> None:
    for url in BAD:
        with pytest.raises(InvalidInput):
            fetch_command(GitSource(url=url), Path("/x"), private=False, resolve=Names(PUBLIC))


@pytest.mark.parametrize("address", INNER)
def test_a_public_name_that_stands_for_an_inner_address_is_refused_at_every_door(address: str) -> None:
    for door in (
        lambda names: check_outgoing("https://rebind.example.com/x", names),
        lambda names: check_url("https://rebind.example.com/x", names, private=False),
        lambda names: fetch_command(
            GitSource(url="https://rebind.example.org.uk/x"), Path("/x"), private=False, resolve=names
        ),
        lambda names: OidcClient(
            _provider("https://id.example.org.uk", private=False), SystemClock(), resolve=names
        ).authorization_url(state="s", nonce="n", verifier="v" * 43, redirect_uri="https://c.example.com"),
    ):
        names = Names(address)
        with pytest.raises(PearlError):
            door(names)


@pytest.mark.parametrize(
    "spelt",
    ["https://git.rebind.org/x", "https://git.rebind.org./x", "HTTPS://GIT.Rebind.ORG/x", "https://ｇit.rebind.org/x",
     "https://git.rebind.org:443/x", "https://git。rebind。org/x"],
)  # fmt: skip
def test_git_asks_the_address_that_was_checked_however_the_name_is_spelt(spelt: str) -> None:
    """The second look-up, which the attacker answers with an inner address, is never made."""
    names = Names(PUBLIC, "169.254.169.254")
    command = fetch_command(GitSource(url=spelt), Path("/x"), private=False, resolve=names)
    words = shlex.split(command[2].replace(";", " ; "))
    assert names.asked == ["git.rebind.org"]
    assert f"http.curloptResolve=git.rebind.org:443:{PUBLIC}" in words
    assert [word for word in words if "rebind" in word and "://" in word] == ["https://git.rebind.org/x"]
    assert "http.followRedirects=false" in words and "protocol.allow=never" in words


def test_git_knows_the_pin_of_the_spelling_it_is_given(tmp_path: Path) -> None:
    """With the real git: a name that nobody knows is reached by its pin; in another spelling it would be looked up."""
    need(has_program("git"), "git")
    with host() as server:
        for spelt in ("http://pinned.nowhere.org", "http://pinned.nowhere.org.", "http://PINNED.nowhere.org"):
            command = fetch_command(
                GitSource(url=f"{spelt}:{server.port}/team/{spelt[-3:]}.git"),
                tmp_path / "target",
                private=True,
                resolve=Names("127.0.0.1"),
            )
            before = len(server.seen)
            done = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
            )
            assert len(server.seen) > before, (spelt, done.stderr)


def test_git_is_not_led_on_by_a_redirect(tmp_path: Path) -> None:
    need(has_program("git"), "git")
    with host() as inner, host(to=inner.url) as first:
        command = fetch_command(GitSource(url=f"{first.url}/x.git"), tmp_path / "target", private=True)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0
        assert first.seen and not inner.seen


@pytest.mark.parametrize("transport", ["ext::touch PLANTED", "fd::17", "file://FOLDER", "FOLDER"])
def test_git_speaks_no_other_transport_even_when_asked_directly(tmp_path: Path, transport: str) -> None:
    """The second wall: what git itself is told, were such an address ever to pass."""
    need(has_program("git"), "git")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare")], check=True, timeout=60)
    planted = tmp_path / "planted"
    url = transport.replace("PLANTED", str(planted)).replace("FOLDER", str(tmp_path / "bare"))
    command = fetch_command(
        GitSource(url="https://git.example.org.uk/x"), tmp_path, private=False, resolve=Names(PUBLIC)
    )
    script = command[2].replace("https://git.example.org.uk/x", shlex.quote(url))
    assert url.split("::")[0] in script
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert b"not allowed" in done.stderr, done.stderr
    assert not planted.exists()


def _provider(issuer: str, *, private: bool) -> OidcProvider:
    return OidcProvider(name="id", issuer=issuer, client_id="c", client_secret=None, private=private)


def test_a_sign_in_provider_leads_nowhere() -> None:
    with host() as inner, host(to=inner.url) as first:
        client = OidcClient(_provider(first.url, private=True), SystemClock())
        with pytest.raises(PearlError):
            client.authorization_url(
                state="s", nonce="n", verifier="v" * 43, redirect_uri="https://c.example.com"
            )
        assert first.seen and not inner.seen


def test_an_address_that_passes_reads_the_same_to_whoever_reads_it_next() -> None:
    for url in ("https://github.com/x", "https://GitHub.com.:443/a/../b?c=d#e", "https://bücher.de/x"):
        once = parse_outgoing(url)
        assert parse_outgoing(str(once)) == once
        with suppress(InvalidInput):
            assert str(check_outgoing(url, Names(PUBLIC)).url) == str(once)
