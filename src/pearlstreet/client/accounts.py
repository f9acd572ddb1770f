"""Who may come in: sign-in, sessions, keys, users, organisations with their projects, members and secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Session(Noun):
    """Signing in and out, and who I am."""

    def me(self) -> results.Me:
        """User, organisations with roles, duties, scopes."""
        found: results.Me = self._get("/me")
        return found

    def sign_in(self, name: str, password: str) -> results.SignedIn:
        """Start a session; the answer's `token` is the key of a client."""
        found: results.SignedIn = self._send("POST", "/sign-in", {"name": name, "password": password})
        return found

    def sign_out(self) -> results.Ended:
        """End this session; an API key is not ended by it."""
        found: results.Ended = self._send("POST", "/sign-out")
        return found

    def pick_up(self, code: str, verifier: str) -> results.SignedIn:
        """Start a session with the code that a browser's sign-in left for this program."""
        found: results.SignedIn = self._send(
            "POST", "/sign-in/terminal", {"code": code, "verifier": verifier}
        )
        return found

    def change_password(self, current: str, new: str) -> results.User:
        """Change one's own password; other sessions end."""
        found: results.User = self._send("POST", "/password", {"current": current, "new": new})
        return found

    def set_password(self, token: str, password: str) -> results.User:
        """Set a password with a one-time token."""
        found: results.User = self._send("POST", "/set-password", {"token": token, "password": password})
        return found

    def set_default_org(self, org: str | None) -> results.DefaultOrg:
        """Choose the organisation for one's requests that name none; None: such requests are refused."""
        found: results.DefaultOrg = self._send("PUT", "/me/default-org", {"org": org})
        return found

    def list(self) -> Rows[results.Session]:
        """One's own live sessions."""
        found: Rows[results.Session] = self._get("/sessions")["items"]
        return found

    def end(self, session: str) -> results.Ended:
        """End a session."""
        found: results.Ended = self._send("DELETE", at("sessions", session))
        return found


class Keys(Noun):
    """API keys."""

    def create(
        self,
        label: str = "",
        *,
        scopes: Sequence[str] | None = None,
        org: str | None = None,
        project: str | None = None,
        life_days: float | None = None,
    ) -> results.IssuedKey:
        """Make a key for oneself; the answer's `key` is shown this once. `scopes` None: all of one's own.

        `org` ties it to an organisation, `project` beside it to one of its projects. `life_days` None: 90, or what is left
        of the key that asks.
        """
        body = given(label=label, scopes=scopes, org=org, project=project, life_days=life_days)
        found: results.IssuedKey = self._send("POST", "/keys", body)
        return found

    def list(self, *, everyone: bool = False) -> Iterator[results.Key]:
        """One's own keys, or all that one may see; oldest first."""
        return self._pages("/keys", everyone=everyone or None)

    def get(self, key: str) -> results.Key:
        """Return what is known of a key."""
        found: results.Key = self._get(at("keys", key))
        return found

    def revoke(self, key: str) -> results.Key:
        """End a key at once, and every key it made."""
        found: results.Key = self._send("DELETE", at("keys", key))
        return found


class Users(Noun):
    """Accounts, and their identities at sign-in providers."""

    def create(
        self,
        name: str,
        *,
        display_name: str = "",
        email: str | None = None,
        org: str | None = None,
        role: str | None = None,
        operator_role: str | None = None,
    ) -> results.Invited:
        """Make an account; the answer's `token` sets its password, once."""
        body = given(
            name=name, display_name=display_name, email=email, org=org, role=role, operator_role=operator_role
        )
        found: results.Invited = self._send("POST", "/users", body)
        return found

    def list(self) -> Iterator[results.User]:
        """Accounts that one may see, oldest first."""
        return self._pages("/users")

    def get(self, user: str) -> results.User:
        """One account, by id or login name."""
        found: results.User = self._get(at("users", user))
        return found

    def suspend(self, user: str, reason: str = "") -> results.User:
        """Refuse the account everything at once, its sessions and keys included."""
        found: results.User = self._send("POST", at("users", user, "suspend"), {"reason": reason})
        return found

    def resume(self, user: str, reason: str = "") -> results.User:
        """Let a suspended account in again."""
        found: results.User = self._send("POST", at("users", user, "resume"), {"reason": reason})
        return found

    def close(self, user: str, reason: str = "") -> results.User:
        """End the account for good."""
        found: results.User = self._send("POST", at("users", user, "close"), {"reason": reason})
        return found

    def set_duty(self, user: str, operator_role: str | None) -> results.User:
        """Give an account its one duty (system, security, audit), or take it away."""
        path = at("users", user, "operator-role")
        found: results.User = self._send("PUT", path, {"operator_role": operator_role})
        return found

    def password_link(self, user: str) -> results.Invited:
        """A fresh one-time token to set the account's password with; earlier ones end."""
        found: results.Invited = self._send("POST", at("users", user, "password-link"))
        return found

    def identities(self, user: str) -> Rows[results.Identity]:
        """Identities of an account at sign-in providers."""
        found: Rows[results.Identity] = self._get(at("users", user, "identities"))["items"]
        return found

    def link_identity(self, user: str, issuer: str, subject: str) -> results.Identity:
        """Say which account an identity is, before its first sign-in."""
        path = at("users", user, "identities")
        found: results.Identity = self._send("POST", path, {"issuer": issuer, "subject": subject})
        return found

    def unlink_identity(self, user: str, issuer: str, subject: str) -> results.Ended:
        """Forget which account an identity is."""
        path = at("users", user, "identities")
        found: results.Ended = self._send("DELETE", path, {"issuer": issuer, "subject": subject})
        return found


class Orgs(Noun):
    """Organisations and their members."""

    def create(self, slug: str, name: str = "") -> results.Org:
        """Make an organisation with its default project."""
        found: results.Org = self._send("POST", "/orgs", {"slug": slug, "name": name})
        return found

    def list(self) -> Iterator[results.Org]:
        """Organisations that one may see, oldest first."""
        return self._pages("/orgs")

    def get(self, org: str) -> results.Org:
        """One organisation, by id or slug."""
        found: results.Org = self._get(at("orgs", org))
        return found

    def rename(self, org: str, name: str) -> results.Org:
        """Change the title people read; the slug stays."""
        found: results.Org = self._send("PATCH", at("orgs", org), {"name": name})
        return found

    def suspend(self, org: str, reason: str = "") -> results.Org:
        """Leave its members reading only."""
        found: results.Org = self._send("POST", at("orgs", org, "suspend"), {"reason": reason})
        return found

    def resume(self, org: str, reason: str = "") -> results.Org:
        """Undo a suspension."""
        found: results.Org = self._send("POST", at("orgs", org, "resume"), {"reason": reason})
        return found

    def close(self, org: str, *, cancel_jobs: bool = False, reason: str = "") -> results.Closing:
        """End a tenant: stop its jobs, invoice, archive, erase. Asking again changes nothing."""
        body = {"cancel_jobs": cancel_jobs, "reason": reason}
        found: results.Closing = self._send("POST", at("orgs", org, "close"), body)
        return found

    def closing(self, org: str) -> results.Closing:
        """How far the end of a tenant is."""
        found: results.Closing = self._get(at("orgs", org, "closing"))
        return found

    def members(self, org: str) -> Rows[results.Member]:
        """Members of the organisation."""
        found: Rows[results.Member] = self._get(at("orgs", org, "members"))["items"]
        return found

    def set_member(self, org: str, user: str, role: str) -> results.Member:
        """Change a member's role; somebody who is no member is invited instead."""
        found: results.Member = self._send("PUT", at("orgs", org, "members", user), {"role": role})
        return found

    def remove_member(self, org: str, user: str) -> results.Removed:
        """End a membership; the account and running jobs stay."""
        found: results.Removed = self._send("DELETE", at("orgs", org, "members", user))
        return found

    def leave(self, org: str) -> results.Left:
        """Leave an organisation; one's keys that are tied to it are revoked."""
        found: results.Left = self._send("POST", at("orgs", org, "leave"))
        return found

    def invite(self, org: str, user: str, role: str | None = None) -> results.Invitation:
        """Invite somebody by login name or e-mail address; they become a member when they accept."""
        found: results.Invitation = self._send(
            "POST", at("orgs", org, "invitations"), given(user=user, role=role)
        )
        return found

    def invitations(self, org: str, *, ended: bool = False) -> Rows[results.Invitation]:
        """Pending invitations of the organisation; `ended`: also those that are over."""
        found: Rows[results.Invitation] = self._get(at("orgs", org, "invitations"), ended=ended or None)[
            "items"
        ]
        return found

    def withdraw_invitation(self, org: str, invitation: str) -> results.Invitation:
        """Take a pending invitation back."""
        found: results.Invitation = self._send("DELETE", at("orgs", org, "invitations", invitation))
        return found


class Invitations(Noun):
    """Invitations that one has received."""

    def list(self) -> Rows[results.Invitation]:
        """Those that one can answer, newest first."""
        found: Rows[results.Invitation] = self._get("/invitations")["items"]
        return found

    def claim(self, code: str) -> results.Invitation:
        """Make an invitation that came by mail one's own, to answer it."""
        found: results.Invitation = self._send("POST", "/invitations/claim", {"code": code})
        return found

    def accept(self, invitation: str, *, as_default: bool = False) -> results.Member:
        """Become a member; `as_default`: also choose it as one's default organisation."""
        path = at("invitations", invitation, "accept")
        found: results.Member = self._send("POST", path, {"as_default": as_default})
        return found

    def decline(self, invitation: str) -> results.Invitation:
        """Refuse an invitation."""
        found: results.Invitation = self._send("POST", at("invitations", invitation, "decline"))
        return found


class Projects(Noun):
    """Parts of an organisation that jobs and secrets belong to."""

    def create(self, org: str, slug: str, name: str = "") -> results.Project:
        """Make a project."""
        found: results.Project = self._send("POST", at("orgs", org, "projects"), {"slug": slug, "name": name})
        return found

    def list(self, org: str) -> Iterator[results.Project]:
        """Yield the organisation's projects, oldest first."""
        return self._pages(at("orgs", org, "projects"))

    def get(self, org: str, project: str) -> results.Project:
        """One project, by id or slug."""
        found: results.Project = self._get(at("orgs", org, "projects", project))
        return found


class Secrets(Noun):
    """Values that jobs get as variables. Nobody can read one back."""

    def list(self, org: str) -> Rows[results.Secret]:
        """Names, never values."""
        found: Rows[results.Secret] = self._get(at("orgs", org, "secrets"))["items"]
        return found

    def set(self, org: str, name: str, value: str, *, project: str | None = None) -> results.Secret:
        """Keep or replace a secret of the organisation, or of one project."""
        path = at("orgs", org, "secrets", name)
        found: results.Secret = self._send("PUT", path, {"value": value}, project=project)
        return found

    def delete(self, org: str, name: str, *, project: str | None = None) -> results.Removed:
        """Forget a secret."""
        found: results.Removed = self._send("DELETE", at("orgs", org, "secrets", name), project=project)
        return found
