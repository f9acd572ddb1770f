"""Webhooks against a real HTTP server: signed, repeated, never led astray, switched off when nobody answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.receivers import Got, Receiver, http_receiver, own_certificate
from tests.store.tenancy.conftest import Center
from tests.store.tenancy.telling import INNER, emit, failed, step

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, NotFound
from pearlstreet.base.urls import check_outgoing
from pearlstreet.store import keyring, outbox
from pearlstreet.tenancy import outgoing
from pearlstreet.tenancy.notices import deliveries, hooks, inbox
from pearlstreet.tenancy.notices.owners import CENTER
from pearlstreet.tenancy.notices.sending import PAUSES_S, Channels
from pearlstreet.tenancy.notices.tables import webhooks
from pearlstreet.tenancy.scopes import OrgRole


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as made:
        yield made


def is_signed(got: Got, secret: str) -> bool:
    """As a receiver checks it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return got.headers["webhook-signature"] == f"v1,{wanted}"


def test_events_are_posted_signed_and_once(center: Center, receiver: Receiver) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url, ["job.failed"])
    emit(center.store, "job.ended", failed("ada"), org.id)
    emit(center.store, "invoice.issued", {"number": "PS-1"}, org.id)
    step(center)
    step(center)
    assert len(receiver.got) == 1, "only what was chosen, and once"
    got = receiver.got[0]
    assert is_signed(got, made.secret)
    body = json.loads(got.body)
    assert body["type"] == "job.failed" and body["data"]["job"] == "job_1"
    assert body["id"] == got.headers["webhook-id"]
    assert body["title"] == "Job train has failed"
    found = hooks.list_deliveries(center.store, owner, "acme", made.webhook.id)
    assert [(item.kind, item.state, item.tries) for item in found] == [("job.failed", "delivered", 1)]


def test_only_the_newest_ended_deliveries_of_a_webhook_are_kept(
    center: Center, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url, ["job.failed"])
    for number in range(4):
        emit(center.store, "job.ended", failed("ada", f"j{number}"), org.id)
        step(center)
    before = hooks.list_deliveries(center.store, owner, "acme", made.webhook.id)
    assert len(before) == 4
    monkeypatch.setattr(deliveries, "ENDED_MAX", 3)
    center.store.write(deliveries.forget_old)
    assert hooks.list_deliveries(center.store, owner, "acme", made.webhook.id) == before[:3]


def test_the_secret_is_shown_once_and_kept_sealed_also_over_a_change_of_the_key(
    center: Center, receiver: Receiver
) -> None:
    center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
    assert made.secret not in repr(made)
    kept = center.store.read(lambda tx: tx.rows(webhooks.select()))
    assert made.secret.encode() not in bytes(kept[0]["secret"])
    assert "secret" not in hooks.Webhook.__slots__
    assert any(table is webhooks for table, _, _ in keyring.sealed_columns())


def test_a_failed_delivery_is_repeated_under_the_same_id(center: Center, receiver: Receiver) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
    receiver.statuses = [500, 503, 204]
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center)
    assert len(receiver.got) == 1
    step(center)
    assert len(receiver.got) == 1, "not before its time"
    for pause_s in PAUSES_S[:2]:
        center.clock.advance(pause_s + 1)
        step(center)
    assert len(receiver.got) == 3
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 3, "a fresh time each"
    assert all(is_signed(got, made.secret) for got in receiver.got)
    seen = hooks.list_webhooks(center.store, owner, "acme")[0]
    assert seen.failures == 0 and seen.last_success_us is not None


def test_a_receiver_that_is_down_is_left_in_peace_by_all_its_events(center: Center) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    with http_receiver() as receiver:
        made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
        receiver.statuses = [500]
        emit(center.store, "job.ended", failed("ada", "first"), org.id)
        step(center)
        for number in range(5):
            emit(center.store, "job.ended", failed("ada", f"j{number}"), org.id)
        step(center)
        assert len(receiver.got) == 1, "the others wait until it has rested"
        receiver.statuses = [200]
        center.clock.advance(PAUSES_S[0] + 1)
        step(center)
        assert len(receiver.got) == 7
    found = hooks.list_deliveries(center.store, owner, "acme", made.webhook.id)
    assert {item.state for item in found} == {"delivered"}


def test_a_webhook_that_fails_for_days_is_switched_off_with_a_notice(
    center: Center, receiver: Receiver
) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
    receiver.statuses = [500]
    for _ in range(12):
        emit(center.store, "job.ended", failed("ada"), org.id)
        step(center)
        center.clock.advance(43_201)
    step(center)
    seen = hooks.list_webhooks(center.store, owner, "acme")[0]
    assert seen.state == "disabled"
    assert str(seen.last_error) == "it answers 500"
    count = len(receiver.got)
    owner = center.sign_in("olga")
    told = [n for n in inbox.list_notices(center.store, owner) if n.kind == "webhook.disabled"]
    assert len(told) == 1 and receiver.url in told[0].words("en").title
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center)
    assert len(receiver.got) == count, "nothing more is sent"
    with pytest.raises(Conflict):
        hooks.test_webhook(center.store, owner, "acme", made.webhook.id)
    receiver.statuses = [200]
    assert hooks.enable_webhook(center.store, owner, "acme", made.webhook.id).state == "active"
    tested = hooks.test_webhook(center.store, owner, "acme", made.webhook.id)
    step(center)
    found = hooks.get_delivery(center.store, owner, "acme", made.webhook.id, tested.id)
    assert found.state == "delivered" and receiver.got[-1].headers["webhook-id"] == found.event_id


def test_gone_means_gone(center: Center, receiver: Receiver) -> None:
    center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
    receiver.statuses = [410]
    hooks.test_webhook(center.store, owner, "acme", made.webhook.id)
    step(center)
    assert hooks.list_webhooks(center.store, owner, "acme")[0].state == "disabled"


def test_a_delivery_is_given_up_in_the_end(center: Center, receiver: Receiver) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
    receiver.statuses = [500]
    emit(center.store, "job.ended", failed("ada"), org.id)
    for pause_s in (0, *PAUSES_S):
        center.clock.advance(pause_s + 1)
        step(center)
    owner = center.sign_in("olga")
    found = hooks.list_deliveries(center.store, owner, "acme", made.webhook.id)[-1]
    assert (found.state, found.tries) == ("given_up", len(PAUSES_S) + 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://10.1.2.3/x",
        "https://user:pass@hooks.example.org/x",
        "https://hooks.example.org:22/x",
        "ftp://hooks.example.org/x",
        "https://inner.rebinding.org/x",
    ],
)
def test_inner_addresses_are_refused_when_a_webhook_is_made(sqlite_center: Center, url: str) -> None:
    sqlite_center.org("acme")
    owner = sqlite_center.person("olga", "acme", OrgRole.OWNER)
    channels = Channels(resolve=lambda host: ["10.0.0.7"] if "rebinding" in host else ["93.184.216.34"])
    with pytest.raises(InvalidInput) as caught:
        hooks.add_webhook(sqlite_center.store, owner, channels, "acme", url)
    assert caught.value.problems[0].field == "url"


def test_a_name_that_turns_inward_later_is_not_called(sqlite_center: Center, receiver: Receiver) -> None:
    """The name is public when the webhook is made and points to this machine when an event comes."""
    center = sqlite_center
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    port = receiver.url.rsplit(":", 1)[1].split("/")[0]
    address = ["93.184.216.34"]
    turning = Channels(resolve=lambda host: address)
    made = hooks.add_webhook(center.store, owner, turning, "acme", "https://hooks.example.org/x")
    address[0] = "127.0.0.1"
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center, turning)
    assert receiver.got == [] and port
    found = hooks.list_deliveries(center.store, owner, "acme", made.webhook.id)[0]
    assert found.state == "due" and "inner network" in str(found.last_error)


def test_a_redirect_is_not_followed(sqlite_center: Center, receiver: Receiver) -> None:
    center = sqlite_center
    center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    with http_receiver() as elsewhere:
        receiver.statuses, receiver.location = [307], elsewhere.url
        made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
        hooks.test_webhook(center.store, owner, "acme", made.webhook.id)
        step(center)
        assert len(receiver.got) == 1 and elsewhere.got == []
    found = hooks.list_deliveries(center.store, owner, "acme", made.webhook.id)[0]
    assert str(found.last_error) == "it answers 307"


def test_webhooks_are_their_owners_alone(center: Center, receiver: Receiver) -> None:
    center.org("acme")
    center.org("beta")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    stranger = center.person("eve", "beta", OrgRole.OWNER)
    member = center.person("ada", "acme")
    made = hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url).webhook
    with pytest.raises(Forbidden):
        hooks.add_webhook(center.store, member, INNER, "acme", receiver.url)
    with pytest.raises(NotFound):
        hooks.list_webhooks(center.store, stranger, "acme")
    for whose in ("beta",):
        with pytest.raises(NotFound):
            hooks.remove_webhook(center.store, stranger, whose, made.id)
    with pytest.raises(Forbidden):
        hooks.list_webhooks(center.store, owner, CENTER)
    with pytest.raises(InvalidInput):
        hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url, ["backup.failed"])
    hooks.remove_webhook(center.store, owner, "acme", made.id)
    assert hooks.list_webhooks(center.store, owner, "acme") == []


def test_operators_have_webhooks_of_their_own(center: Center, receiver: Receiver) -> None:
    org = center.org("acme")
    hooks.add_webhook(center.store, center.system, INNER, CENTER, receiver.url)
    emit(center.store, "node.unhealthy", {"node": "n1", "state": "absent"})
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center)
    assert [json.loads(got.body)["type"] for got in receiver.got] == ["node.unhealthy"]


def test_there_is_an_end_to_how_many(sqlite_center: Center, receiver: Receiver) -> None:
    sqlite_center.org("acme")
    owner = sqlite_center.person("olga", "acme", OrgRole.OWNER)
    for number in range(hooks.PER_OWNER_MAX):
        hooks.add_webhook(sqlite_center.store, owner, INNER, "acme", f"{receiver.url}/{number}")
    with pytest.raises(Conflict):
        hooks.add_webhook(sqlite_center.store, owner, INNER, "acme", receiver.url)


def test_events_are_still_there_after_the_server_was_away(sqlite_center: Center, receiver: Receiver) -> None:
    """Routing has a place of its own in the outbox: the file of events may be ahead of it."""
    center = sqlite_center
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    hooks.add_webhook(center.store, owner, INNER, "acme", receiver.url)
    emit(center.store, "job.ended", failed("ada"), org.id)
    last = center.store.read(lambda tx: outbox.pending(tx, "events-file"))[-1]["seq"]
    center.store.write(lambda tx: outbox.advance(tx, "events-file", last))
    step(center)
    assert len(receiver.got) == 1


def _target(url: str) -> object:
    return check_outgoing(url, outgoing.resolve, schemes=("http", "https"), allow_private=True)


def test_an_answer_that_drips_is_cut_off(tmp_path: Path) -> None:
    """Byte after byte of a header: no single wait is long, all of it would last for ever."""
    listening = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        line, _ = listening.accept()
        with line:
            line.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not stop.wait(0.05):
                try:
                    line.sendall(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    target = _target(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    try:
        with pytest.raises(outgoing.NoAnswer):
            outgoing.send("GET", target, headers={}, most_bytes=10, within_s=0.5)  # type: ignore[arg-type]
    finally:
        stop.set()
        thread.join(10)
        listening.close()


def test_an_answer_that_is_too_long_is_not_read(receiver: Receiver) -> None:
    receiver.answer = b"x" * 100_000
    with pytest.raises(outgoing.NoAnswer, match="too long"):
        outgoing.send("POST", _target(receiver.url), headers={}, content=b"{}", most_bytes=1000)  # type: ignore[arg-type]


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    tls, _ = own_certificate(tmp_path)
    with http_receiver(tls) as receiver, pytest.raises(outgoing.NoAnswer, match="certificate"):
        outgoing.send("POST", _target(receiver.url), headers={}, most_bytes=1000)  # type: ignore[arg-type]
