"""Mail against a real SMTP server: TLS, login, the person's language, headers nobody breaks out of."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.fakes.receivers import mail_server, own_certificate
from tests.store.tenancy.conftest import Center
from tests.store.tenancy.telling import emit, failed, step
from tests.store.tenancy.test_notices import waiting

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.tenancy import users
from pearlstreet.tenancy.notices import preferences
from pearlstreet.tenancy.notices.deliveries import Event
from pearlstreet.tenancy.notices.mail import MailSettings, SmtpMailer, compose, mail_from_settings
from pearlstreet.tenancy.notices.owners import ME
from pearlstreet.tenancy.notices.preferences import Change
from pearlstreet.tenancy.notices.sending import PAUSES_S, Channels

SENDER = "pearl@center.example"


def mailer(port: int, **more: object) -> Channels:
    settings = MailSettings("127.0.0.1", port, SENDER, **{"security": "none", **more})  # type: ignore[arg-type]
    return Channels(SmtpMailer(settings, "lab", "https://pearl.center.example"))


def read(content: bytes) -> EmailMessage:
    found = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_a_notice_comes_by_mail_in_the_persons_language(center: Center) -> None:
    org = center.org("acme")
    users.create_user(center.store, center.security, "wei", email="wei@acme.example", org="acme")
    wei = center.person("lin", "acme")
    preferences.set_preferences(center.store, wei, ME, Change(language="zh-CN", email="lin@acme.example"))
    code = str(waiting(center.store)[-1]["payload"]["code"])  # type: ignore[index]
    with mail_server() as post:
        step(center, mailer(post.port))
        assert code in read(post.mails[0][1]).get_content(), "the code comes by mail, to be given back"
        preferences.confirm_address(center.store, wei, ME, code)
        emit(center.store, "job.ended", failed("wei", "训练\r\nBcc: eve@evil.example"), org.id)
        emit(center.store, "job.ended", failed("lin"), org.id)
        step(center, mailer(post.port))
        step(center, mailer(post.port))
        by_address = {to[0]: read(content) for to, content in post.mails[1:]}
        assert len(post.mails) == 3
        english, chinese = by_address["wei@acme.example"], by_address["lin@acme.example"]
    assert english["Subject"] == "[lab] Job 训练 Bcc: eve@evil.example has failed"
    assert english["Bcc"] is None and english["From"] == SENDER
    assert english["Auto-Submitted"] == "auto-generated"
    assert "https://pearl.center.example" in english.get_content()
    assert chinese["Subject"] == "[lab] 作业 train 失败"
    assert "更改：pearl notices prefs" in chinese.get_content()


def test_mail_goes_under_tls_with_a_login(center: Center, tmp_path: Path) -> None:
    org = center.org("acme")
    users.create_user(center.store, center.security, "ada", email="ada@acme.example", org="acme")
    emit(center.store, "job.ended", failed("ada"), org.id)
    tls, authority = own_certificate(tmp_path)
    with mail_server(tls, password="s3cret") as post:
        right = mailer(
            post.port, security="starttls", user="pearl", password="s3cret", ca_file=str(authority)
        )
        strange = mailer(post.port, security="starttls", user="pearl", password="s3cret")
        step(center, strange)
        assert post.logins == [], "no password to a server that nobody vouches for"
        center.clock.advance(PAUSES_S[0] + 1)
        step(center, right)
        assert post.logins == ["pearl"] and post.was_tls == [True]
        assert len(post.mails) == 1


def test_mail_waits_for_a_server_that_is_away_and_is_not_lost(center: Center) -> None:
    org = center.org("acme")
    users.create_user(center.store, center.security, "ada", email="ada@acme.example", org="acme")
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center, mailer(9))
    row = waiting(center.store)[0]
    assert row["state"] == "due" and row["tries"] == 1
    with mail_server() as post:
        center.clock.advance(PAUSES_S[0] + 1)
        step(center, mailer(post.port))
        assert len(post.mails) == 1
    assert waiting(center.store)[0]["state"] == "delivered"


def test_an_address_that_is_refused_is_given_up_at_once(center: Center) -> None:
    org = center.org("acme")
    users.create_user(center.store, center.security, "ada", email="ada@acme.example", org="acme")
    emit(center.store, "job.ended", failed("ada"), org.id)
    with mail_server() as post:
        post.refused.add("ada@acme.example")
        step(center, mailer(post.port))
    row = waiting(center.store)[0]
    assert row["state"] == "given_up" and "550" in str(row["last_error"])


def test_without_a_mail_server_mail_is_given_up_and_the_inbox_has_it(center: Center) -> None:
    org = center.org("acme")
    users.create_user(center.store, center.security, "ada", email="ada@acme.example", org="acme")
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center, Channels())
    assert waiting(center.store)[0]["state"] == "given_up"


def test_a_mail_can_be_told_from_its_repetition() -> None:
    event = Event("evt_1", "test", None, {}, 1_700_000_000_000_000)
    first, again = (compose(event, "a@b.example", "en", SENDER, "lab", "") for _ in range(2))
    assert first["Message-ID"] == again["Message-ID"] == "<evt_1@center.example>"


def test_an_odd_address_breaks_nothing() -> None:
    event = Event("evt_1", "test", None, {}, 0)
    sent = SmtpMailer(MailSettings("127.0.0.1", 9, SENDER), "lab").send(event, "a,b@c>;@d", "en")
    assert not sent.ok and sent.final


RIGHT = {"host": "smtp.example.org", "from": SENDER}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"from": SENDER}, "host is missing"),
        ({"host": "smtp.example.org"}, "from is missing"),
        ({**RIGHT, "colour": "red"}, "no key colour"),
        ({**RIGHT, "port": "25"}, "port must be a port"),
        ({**RIGHT, "port": True}, "port must be a port"),
        ({**RIGHT, "security": "maybe"}, "security must be one of"),
        ({**RIGHT, "security": "none"}, "without TLS"),
        ({**RIGHT, "from": "nobody"}, "from is not an e-mail address"),
        ({**RIGHT, "user": "pearl"}, "password is missing"),
        ({**RIGHT, "password_file": "/nowhere"}, "cannot be read"),
    ],
)
def test_wrong_settings_are_named(table: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        mail_from_settings(table, None)


def test_settings_and_the_environments_password(tmp_path: Path) -> None:
    assert mail_from_settings({}, "x") is None
    (tmp_path / "password").write_text("from a file\n")
    table = {**RIGHT, "user": "pearl", "password_file": str(tmp_path / "password")}
    kept = mail_from_settings(table, None)
    assert kept is not None and kept.password == "from a file" and kept.port == 587
    given = mail_from_settings(table, "from the environment")
    assert given is not None and given.password == "from the environment"
    assert "environment" not in repr(given)
