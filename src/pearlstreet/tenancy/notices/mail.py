"""Notices by e-mail: plain text over SMTP, with TLS unless the mail server is on this machine."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from pearlstreet.base.clock import EPOCH
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text
from pearlstreet.tenancy.names import EMAIL
from pearlstreet.tenancy.notices.channel_protocol import Sent
from pearlstreet.tenancy.notices.deliveries import Event
from pearlstreet.tenancy.notices.kinds import words_of

TIMEOUT_S = 20.0
SECURITIES = ("starttls", "tls", "none")
PORTS = {"starttls": 587, "tls": 465, "none": 25}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
KEYS: Mapping[str, str] = {
    "host": "Host name of the mail server; required.",
    "port": "Port of the mail server; default 587 (`starttls`), 465 (`tls`) or 25 (`none`).",
    "from": "Address that notices are sent from; required.",
    "user": "User name at the mail server; none: no login.",
    "password": "Password of the user; `PEARL_MAIL_PASSWORD` takes precedence.",
    "password_file": "File that holds the password.",
    "security": "`starttls` (default), `tls`, or `none` for a mail server on this machine.",
    "ca_file": "Certificate authority file (PEM) of the mail server; default: the system's.",
}
"""Keys of the table [mail] with their descriptions."""


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Address and login of the mail server, and the sender of notices."""

    host: str
    port: int
    sender: str
    security: str = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """Mailer over SMTP. Each mail uses a new connection, because mails are few and a restarted server causes no error."""

    settings: MailSettings
    center: str
    """Name of the center, the prefix of subjects."""
    url: str = ""
    """URL of the center, at the end of each mail; empty: left out."""

    def send(self, event: Event, address: str, language: str) -> Sent:
        """Send one notice over SMTP."""
        try:
            message = compose(event, address, language, self.settings.sender, self.center, self.url)
        except ValueError as error:
            return Sent(
                False,
                text("{address} cannot be written to: {problem}", address=address, problem=str(error)),
                True,
            )
        try:
            with _connected(self.settings) as relay:
                relay.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            refused = text("The mail server refuses the address ({codes})", codes=", ".join(map(str, codes)))
            return Sent(False, refused, all(code >= 500 for code in codes))
        except smtplib.SMTPResponseException as error:
            said = text("The mail server answers {code}", code=error.smtp_code)
            return Sent(False, said)
        except (OSError, smtplib.SMTPException, ssl.SSLError) as error:
            problem = getattr(error, "strerror", None) or type(error).__name__
            return Sent(False, text("The mail server does not answer: {problem}", problem=problem))
        return Sent(True)


def compose(event: Event, address: str, language: str, sender: str, center: str, url: str) -> EmailMessage:
    """Return the mail of a notice. Raises ValueError for a malformed address."""
    words = words_of(event.kind, event.payload, language)
    message = EmailMessage()
    message["Subject"] = _line(f"[{center}] {words.title}")
    message["From"] = sender
    message["To"] = Address(addr_spec=address)
    message["Date"] = format_datetime(EPOCH + timedelta(microseconds=event.at_us))
    message["Message-ID"] = f"<{event.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: suppresses out-of-office replies
    message["Content-Language"] = language
    end = text(
        "You get this because notices of the kind {kind} are sent to this address. Change it: pearl notices prefs",
        kind=event.kind,
    )
    parts = [words.body, *([url] if url else []), "-- \n" + end.render(language)]
    message.set_content("\n\n".join(parts) + "\n")
    return message


def _line(words: str) -> str:
    """Return a header value without line breaks, which names chosen by tenants might contain; at most 200 characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())[:200]


def _connected(settings: MailSettings) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=settings.ca_file)
    relay: smtplib.SMTP
    if settings.security == "tls":
        relay = smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_S, context=context)
    else:
        relay = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
    try:
        if settings.security == "starttls":
            relay.starttls(context=context)
        if settings.user is not None:
            relay.login(settings.user, settings.password or "")
    except BaseException:
        relay.close()
        raise
    return relay


def mail_from_settings(
    options: Mapping[str, object], password: str | None, *, table: str = "mail"
) -> MailSettings | None:
    """Return the settings in the table `[mail]`, or None if it is empty. Raises ConfigurationError.

    `password` (from the environment) takes precedence over the table.
    """
    try:
        return _read_mail(options, password)
    except _Wrong as error:
        raise ConfigurationError(
            text("The settings in [{table}] are wrong: {problem}", table=table, problem=error.problem),
            hint=text("Its keys are: {keys}", keys=", ".join(KEYS)),
        ) from None


class _Wrong(Exception):
    """A wrong option of a mail server."""

    def __init__(self, problem: Text) -> None:
        self.problem = problem


def _read_mail(table: Mapping[str, object], password: str | None) -> MailSettings | None:
    if not table:
        return None
    unknown = sorted(str(key) for key in table if key not in KEYS)
    if unknown:
        raise _Wrong(text("it has no key {key}", key=unknown[0][:60]))
    texts = {key: _text(table, key) for key in KEYS if key != "port"}
    host, sender, user = texts["host"], texts["from"], texts["user"]
    security = texts["security"] or "starttls"
    if host is None or sender is None:
        raise _Wrong(text("{key} is missing", key="host" if host is None else "from"))
    if security not in SECURITIES:
        raise _Wrong(text("{key} must be one of {choices}", key="security", choices=", ".join(SECURITIES)))
    if security == "none" and host not in LOOPBACK:
        raise _Wrong(text("without TLS only a mail server on this machine may be used"))
    if not EMAIL.fullmatch(sender):
        raise _Wrong(text("{key} is not an e-mail address", key="from"))
    known = password or _password(texts)
    if user is not None and known is None:
        raise _Wrong(text("{key} is missing", key="password"))
    return MailSettings(host, _port(table, security), sender, security, user, known, texts["ca_file"])


def _port(table: Mapping[str, object], security: str) -> int:
    port = table.get("port", PORTS[security])
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65_536:
        raise _Wrong(text("{key} must be a port", key="port"))
    return port


def _password(texts: Mapping[str, str | None]) -> str | None:
    file = texts["password_file"]
    if file is None:
        return texts["password"]
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise _Wrong(text("{file} cannot be read", file=file)) from None


def _text(table: Mapping[str, object], key: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise _Wrong(text("{key} must be text", key=key))
    return value
