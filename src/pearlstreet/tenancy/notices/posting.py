"""Webhook requests: JSON, signed as in Standard Webhooks, to an address that the SSRF guard permits.

The receiver verifies the HMAC-SHA256 of `id.timestamp.body` with the secret and refuses old timestamps. Repeated
deliveries have the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.base.urls import CheckedUrl, Resolve, check_outgoing
from pearlstreet.tenancy.notices.deliveries import Event
from pearlstreet.tenancy.notices.kinds import words_of
from pearlstreet.tenancy.outgoing import NoAnswer, send

SECRET_PREFIX = "whsec_"  # noqa: S105  what a secret begins with
SECRET_BYTES = 32
ANSWER_MAX_BYTES = 64 << 10
GONE = 410


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook request: the receiver's URL, the event, and the secret that signs it."""

    url: str
    event: Event
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """Result of a webhook request. `problem` is for the webhook's owner; of the response it contains only the status."""

    ok: bool
    problem: Text | None = None
    gone: bool = False
    """Whether the receiver answered 410 Gone, which switches the webhook off."""


def check_url(url: str, resolve: Resolve, *, private: bool) -> CheckedUrl:
    """Return the URL with the addresses that may be connected to. Raises InvalidInput if the SSRF guard refuses it."""
    schemes = ("http", "https") if private else ("https",)
    return check_outgoing(url, resolve, field="url", schemes=schemes, allow_private=private)


def post(request: Post, now_s: int, resolve: Resolve, *, private: bool) -> Answered:
    """Send a webhook request. Any status but 2xx is a failure; redirects are not followed."""
    body = envelope(request.event)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Pearlstreet-Webhooks/1",
        "webhook-id": request.event.id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(request.secret, request.event.id, now_s, body),
    }
    try:
        target = check_url(request.url, resolve, private=private)
        status, _ = send("POST", target, headers=headers, content=body, most_bytes=ANSWER_MAX_BYTES)
    except InvalidInput as error:
        return Answered(False, error.message)
    except NoAnswer as error:
        return Answered(False, text("{problem}", problem=str(error)))
    if 200 <= status < 300:
        return Answered(True)
    return Answered(False, text("it answers {status}", status=status), gone=status == GONE)


def envelope(event: Event) -> bytes:
    """Return the JSON body: the event as text in English and as values."""
    words = words_of(event.kind, event.payload, "en")
    content: dict[str, object] = {
        "id": event.id,
        "type": event.kind,
        "timestamp": to_rfc3339(event.at_us),
        "org_id": event.org_id,
        "title": words.title,
        "text": words.body,
        "data": _plain(event.payload),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def signature(secret: str, event_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def new_secret(noise: bytes) -> str:
    """Return the text form of a new secret of random bytes."""
    return SECRET_PREFIX + base64.b64encode(noise).decode()


def _plain(payload: Mapping[str, object]) -> dict[str, object]:
    """Return the payload with its messages as English text."""
    return {
        name: str(from_json(value)) if isinstance(value, Mapping) and "template" in value else value
        for name, value in payload.items()
    }
