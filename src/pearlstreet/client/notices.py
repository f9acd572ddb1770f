"""Notices and webhooks: one's own, an organisation's (`org="acme"`), or the operators' (`org="center"`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results

CENTER = "center"


class Notices(Noun):
    """One's own inbox, and what is heard of where."""

    def list(self, *, unread: bool = False, limit: int = 100) -> Iterator[results.Notice]:
        """Yield your notices, newest first. `limit` is the size of a page."""
        return self._pages("/notices", unread=str(unread).lower(), limit=limit)

    def unread(self) -> int:
        """Return the number of unread notices."""
        return int(self._get("/notices/unread")["count"])

    def mark(self, ids: Sequence[str] | None = None, *, read: bool = True) -> int:
        """Mark notices (None: all) as read or unread; returns how many changed."""
        body = {"ids": list(ids) if ids is not None else None, "read": read}
        return int(self._send("POST", "/notices/read", body)["changed"])

    def test(self) -> results.Test:
        """Send yourself a test notice by all your channels."""
        found: results.Test = self._send("POST", "/notices/test")
        return found

    def kinds(self) -> Rows[results.NoticeKind]:
        """Return the kinds of notices."""
        found: Rows[results.NoticeKind] = self._get("/notices/kinds")["items"]
        return found

    def preferences(self, org: str | None = None) -> results.Preferences:
        """Return your preferences: which kinds of notices go to which channel."""
        found: results.Preferences = self._get(f"{_whose(org)}/notices/preferences")
        return found

    def set_preferences(
        self,
        org: str | None = None,
        *,
        language: str | None = None,
        email: str | None = None,
        kinds: Mapping[str, Sequence[str] | None] | None = None,
    ) -> results.Preferences:
        """Change your preferences; what is left out stays. A new address is used once it is confirmed."""
        body = given(language=language, email=email, kinds=None if kinds is None else dict(kinds))
        found: results.Preferences = self._send("PATCH", f"{_whose(org)}/notices/preferences", body)
        return found

    def confirm(self, code: str, org: str | None = None) -> results.Preferences:
        """Confirm an address with the code that was sent to it."""
        path = f"{_whose(org)}/notices/preferences/confirm"
        found: results.Preferences = self._send("POST", path, {"code": code})
        return found


class Webhooks(Noun):
    """Where events are posted."""

    def list(self, org: str) -> Rows[results.Webhook]:
        """Return the webhooks, oldest first."""
        found: Rows[results.Webhook] = self._get(f"{_whose(org)}/webhooks")["items"]
        return found

    def add(self, org: str, url: str, *, kinds: Sequence[str] = ()) -> results.NewWebhook:
        """Create a webhook that posts events to an address; the result's `secret` is shown only now."""
        found: results.NewWebhook = self._send(
            "POST", f"{_whose(org)}/webhooks", {"url": url, "kinds": list(kinds)}
        )
        return found

    def remove(self, org: str, webhook: str) -> results.Webhook:
        """Remove a webhook."""
        found: results.Webhook = self._send("DELETE", _whose(org) + at("webhooks", webhook))
        return found

    def enable(self, org: str, webhook: str) -> results.Webhook:
        """Switch a webhook on again."""
        found: results.Webhook = self._send("POST", _whose(org) + at("webhooks", webhook, "enable"))
        return found

    def test(self, org: str, webhook: str) -> results.Delivery:
        """Post a test event to a webhook; returns its delivery."""
        found: results.Delivery = self._send("POST", _whose(org) + at("webhooks", webhook, "test"))
        return found

    def deliveries(self, org: str, webhook: str, *, limit: int = 100) -> Iterator[results.Delivery]:
        """Yield the deliveries of a webhook, newest first. `limit` is the size of a page."""
        return self._pages(_whose(org) + at("webhooks", webhook, "deliveries"), limit=limit)

    def delivery(self, org: str, webhook: str, delivery: str) -> results.Delivery:
        """Return a delivery: its state and attempts."""
        found: results.Delivery = self._get(_whose(org) + at("webhooks", webhook, "deliveries", delivery))
        return found


def _whose(org: str | None) -> str:
    if org is None:
        return ""
    return "/center" if org == CENTER else at("orgs", org)
