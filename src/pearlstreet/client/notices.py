"""Notices and webhooks: one's own, an organisation's (`org="acme"`), or the operators' (`org="center"`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pearlstreet.client.noun import Answer, Answers, Noun, at, given

CENTER = "center"


class Notices(Noun):
    """One's own inbox, and what is heard of where."""

    def list(self, *, unread: bool = False, limit: int = 100) -> Iterator[Answer]:
        """One's own notices, newest first. `limit` is a page's size."""
        return self._pages("/notices", unread=str(unread).lower(), limit=limit)

    def unread(self) -> int:
        """How many are not read."""
        return int(self._get("/notices/unread")["count"])

    def mark(self, ids: Sequence[str] | None = None, *, read: bool = True) -> int:
        """Mark some (None: all) as read, or as not read; how many changed."""
        body = {"ids": list(ids) if ids is not None else None, "read": read}
        return int(self._send("POST", "/notices/read", body)["changed"])

    def test(self) -> Answer:
        """Tell oneself something, the way that every notice goes."""
        found: Answer = self._send("POST", "/notices/test")
        return found

    def kinds(self) -> Answers:
        """What there is to hear of."""
        found: Answers = self._get("/notices/kinds")["items"]
        return found

    def preferences(self, org: str | None = None) -> Answer:
        """What is heard of where."""
        found: Answer = self._get(f"{_whose(org)}/notices/preferences")
        return found

    def set_preferences(
        self,
        org: str | None = None,
        *,
        language: str | None = None,
        email: str | None = None,
        kinds: Mapping[str, Sequence[str] | None] | None = None,
    ) -> Answer:
        """Change them; what is left out stays. A new address is used once it is confirmed."""
        body = given(language=language, email=email, kinds=None if kinds is None else dict(kinds))
        found: Answer = self._send("PATCH", f"{_whose(org)}/notices/preferences", body)
        return found

    def confirm(self, code: str, org: str | None = None) -> Answer:
        """Confirm an address with the code that was sent to it."""
        path = f"{_whose(org)}/notices/preferences/confirm"
        found: Answer = self._send("POST", path, {"code": code})
        return found


class Webhooks(Noun):
    """Where events are posted."""

    def list(self, org: str) -> Answers:
        """Oldest first."""
        found: Answers = self._get(f"{_whose(org)}/webhooks")["items"]
        return found

    def add(self, org: str, url: str, *, kinds: Sequence[str] = ()) -> Answer:
        """Have events posted to an address; the answer's `secret` is shown this once."""
        found: Answer = self._send("POST", f"{_whose(org)}/webhooks", {"url": url, "kinds": list(kinds)})
        return found

    def remove(self, org: str, webhook: str) -> Answer:
        """Post nothing there any more."""
        found: Answer = self._send("DELETE", _whose(org) + at("webhooks", webhook))
        return found

    def enable(self, org: str, webhook: str) -> Answer:
        """Post there again, after it was switched off."""
        found: Answer = self._send("POST", _whose(org) + at("webhooks", webhook, "enable"))
        return found

    def test(self, org: str, webhook: str) -> Answer:
        """Post a test there; the answer is its delivery."""
        found: Answer = self._send("POST", _whose(org) + at("webhooks", webhook, "test"))
        return found

    def deliveries(self, org: str, webhook: str, *, limit: int = 100) -> Iterator[Answer]:
        """What was posted or waits, newest first. `limit` is a page's size."""
        return self._pages(_whose(org) + at("webhooks", webhook, "deliveries"), limit=limit)

    def delivery(self, org: str, webhook: str, delivery: str) -> Answer:
        """How one event's delivery stands."""
        found: Answer = self._get(_whose(org) + at("webhooks", webhook, "deliveries", delivery))
        return found


def _whose(org: str | None) -> str:
    if org is None:
        return ""
    return "/center" if org == CENTER else at("orgs", org)
