"""Running a center: quotas, shares, audit log, backups, incidents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Quotas(Noun):
    """Limits on resources."""

    def list(self, org: str | None = None) -> Rows[results.Quota]:
        """Return the quotas of an organisation, or all that you may see."""
        found: Rows[results.Quota] = self._get("/quotas", org=org)["items"]
        return found

    def set(
        self,
        org: str,
        resource: str,
        *,
        project: str | None = None,
        guaranteed: float | None = None,
        maximum: float | None = None,
        borrow: bool = True,
    ) -> results.Quota:
        """Set or replace the quota of an organisation or project on a resource such as "cards:H100"."""
        body = given(
            org=org,
            project=project,
            resource=resource,
            guaranteed=guaranteed,
            maximum=maximum,
            borrow=borrow,
        )
        found: results.Quota = self._send("PUT", "/quotas", body)
        return found

    def delete(self, quota: str) -> results.Quota:
        """Delete a quota."""
        found: results.Quota = self._send("DELETE", at("quotas", quota))
        return found


class Shares(Noun):
    """Weights of fair sharing, and who is ahead."""

    def list(self, org: str | None = None) -> Rows[results.Share]:
        """Return the fair-share weights other than 1."""
        found: Rows[results.Share] = self._get("/shares", org=org)["items"]
        return found

    def set(self, org: str, weight: float, *, project: str | None = None) -> results.Share:
        """Set the fair-share weight of an organisation, or of a project within its organisation."""
        found: results.Share = self._send("PUT", "/shares", given(org=org, project=project, weight=weight))
        return found

    def delete(self, org: str, *, project: str | None = None) -> results.Share:
        """Reset a fair-share weight to 1."""
        found: results.Share = self._send("DELETE", "/shares", org=org, project=project)
        return found

    def standings(self) -> results.FairShare:
        """Return the fair-share order of projects with its reasons."""
        found: results.FairShare = self._get("/fair-share")
        return found


class Audit(Noun):
    """What was done by whom."""

    def list(
        self,
        *,
        org: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
    ) -> Iterator[results.Audit]:
        """Yield audit entries, newest first: all for auditors, their organisation's for owners. `limit` is the size of a page."""
        wanted = {"org": org, "actor": actor, "action": action, "target": target}
        return self._pages("/audit", **wanted, **{"from": since, "to": until}, limit=limit)

    def verify(self) -> results.Verify:
        """Verify the hash chain of the whole audit log."""
        found: results.Verify = self._get("/audit/verify")
        return found


class Backups(Noun):
    """Backups that the center makes in its own folder."""

    def make(self) -> results.Backup:
        """Make a backup while the center runs, without the key file."""
        # Long: the connection waits for all of it.
        answer = self._transport.request("POST", "/api/v1/backups", timeout_s=3600.0)
        found: results.Backup = answer.json()
        return found

    def list(self) -> Rows[results.Backup]:
        """Return the existing backups, newest first."""
        found: Rows[results.Backup] = self._get("/backups")["items"]
        return found


class Incidents(Noun):
    """Rows that the center's loops fail on or gave up."""

    def list(self) -> Rows[results.Incident]:
        """Return incidents: rows that were given up first, then newest first."""
        found: Rows[results.Incident] = self._get("/incidents")["items"]
        return found

    def retry(self, *, loop: str | None = None, row: str | None = None) -> results.Retried:
        """Retry rows that were given up: all, those of one loop, or one row."""
        found: results.Retried = self._send("POST", "/incidents/retry", given(loop=loop, row=row))
        return found
