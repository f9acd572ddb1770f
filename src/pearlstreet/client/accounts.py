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
        """Return the signed-in user: name, organisations with roles, operator duties and scopes."""
        found: results.Me = self._get("/me")
        return found

    def sign_in(self, name: str, password: str) -> results.SignedIn:
        """Sign in with a password; the result's `token` serves as a key."""
        found: results.SignedIn = self._send("POST", "/sign-in", {"name": name, "password": password})
        return found

    def sign_out(self) -> results.Ended:
        """End this session. An API key stays valid."""
        found: results.Ended = self._send("POST", "/sign-out")
        return found

    def pick_up(self, code: str, verifier: str) -> results.SignedIn:
        """Start a session with the code that a sign-in in the browser gave this program."""
        found: results.SignedIn = self._send(
            "POST", "/sign-in/terminal", {"code": code, "verifier": verifier}
        )
        return found

    def change_password(self, current: str, new: str) -> results.User:
        """Change your password; your other sessions end."""
        found: results.User = self._send("POST", "/password", {"current": current, "new": new})
        return found

    def set_password(self, token: str, password: str) -> results.User:
        """Set a password with a one-time token."""
        found: results.User = self._send("POST", "/set-password", {"token": token, "password": password})
        return found

    def set_default_org(self, org: str | None) -> results.DefaultOrg:
        """Choose your default organisation, for requests that name none; None: such requests are refused."""
        found: results.DefaultOrg = self._send("PUT", "/me/default-org", {"org": org})
        return found

    def list(self) -> Rows[results.Session]:
        """Return your open sessions."""
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
        """Create an API key of yours; the result's `key` is shown only now. `scopes` None: all scopes that you have.

        `org` ties it to an organisation, `project` beside it to one of its projects. `life_days` None: 90, or what is left
        of the key that asks.
        """
        body = given(label=label, scopes=scopes, org=org, project=project, life_days=life_days)
        found: results.IssuedKey = self._send("POST", "/keys", body)
        return found

    def list(self, *, everyone: bool = False) -> Iterator[results.Key]:
        """Yield your keys, or all that you may see, oldest first."""
        return self._pages("/keys", everyone=everyone or None)

    def get(self, key: str) -> results.Key:
        """Return one key: label, scopes, expiry and last use, never its secret."""
        found: results.Key = self._get(at("keys", key))
        return found

    def revoke(self, key: str) -> results.Key:
        """Revoke a key at once, with every key that was created with it."""
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
        """Create an account; the result's `token` sets its password, once."""
        body = given(
            name=name, display_name=display_name, email=email, org=org, role=role, operator_role=operator_role
        )
        found: results.Invited = self._send("POST", "/users", body)
        return found

    def list(self) -> Iterator[results.User]:
        """Yield the accounts that you may see, oldest first."""
        return self._pages("/users")

    def get(self, user: str) -> results.User:
        """Return an account by id or login name."""
        found: results.User = self._get(at("users", user))
        return found

    def suspend(self, user: str, reason: str = "") -> results.User:
        """Suspend an account: its sessions and keys are refused at once."""
        found: results.User = self._send("POST", at("users", user, "suspend"), {"reason": reason})
        return found

    def resume(self, user: str, reason: str = "") -> results.User:
        """Resume a suspended account."""
        found: results.User = self._send("POST", at("users", user, "resume"), {"reason": reason})
        return found

    def close(self, user: str, reason: str = "") -> results.User:
        """Close an account for good."""
        found: results.User = self._send("POST", at("users", user, "close"), {"reason": reason})
        return found

    def set_duty(self, user: str, operator_role: str | None) -> results.User:
        """Give an account its operator duty (system, security or audit), or take it away."""
        path = at("users", user, "operator-role")
        found: results.User = self._send("PUT", path, {"operator_role": operator_role})
        return found

    def password_link(self, user: str) -> results.Invited:
        """Return a new one-time token that sets the account's password; earlier ones become invalid."""
        found: results.Invited = self._send("POST", at("users", user, "password-link"))
        return found

    def identities(self, user: str) -> Rows[results.Identity]:
        """Return the identities of an account at sign-in providers."""
        found: Rows[results.Identity] = self._get(at("users", user, "identities"))["items"]
        return found

    def link_identity(self, user: str, issuer: str, subject: str) -> results.Identity:
        """Link an identity of a sign-in provider to an account, before its first sign-in."""
        path = at("users", user, "identities")
        found: results.Identity = self._send("POST", path, {"issuer": issuer, "subject": subject})
        return found

    def unlink_identity(self, user: str, issuer: str, subject: str) -> results.Ended:
        """Unlink an identity from its account."""
        path = at("users", user, "identities")
        found: results.Ended = self._send("DELETE", path, {"issuer": issuer, "subject": subject})
        return found


class Orgs(Noun):
    """Organisations and their members."""

    def create(self, slug: str, name: str = "") -> results.Org:
        """Create an organisation with its default project."""
        found: results.Org = self._send("POST", "/orgs", {"slug": slug, "name": name})
        return found

    def list(self) -> Iterator[results.Org]:
        """Yield the organisations that you may see, oldest first."""
        return self._pages("/orgs")

    def get(self, org: str) -> results.Org:
        """Return an organisation by id or slug."""
        found: results.Org = self._get(at("orgs", org))
        return found

    def rename(self, org: str, name: str) -> results.Org:
        """Change the displayed name of an organisation; its slug stays."""
        found: results.Org = self._send("PATCH", at("orgs", org), {"name": name})
        return found

    def suspend(self, org: str, reason: str = "") -> results.Org:
        """Suspend an organisation: its members can only read, and its waiting jobs wait."""
        found: results.Org = self._send("POST", at("orgs", org, "suspend"), {"reason": reason})
        return found

    def resume(self, org: str, reason: str = "") -> results.Org:
        """Resume a suspended organisation."""
        found: results.Org = self._send("POST", at("orgs", org, "resume"), {"reason": reason})
        return found

    def close(self, org: str, *, cancel_jobs: bool = False, reason: str = "") -> results.Closing:
        """Close an organisation: its jobs are stopped, the last invoice issued, its data archived and erased. Repeating has no effect."""
        body = {"cancel_jobs": cancel_jobs, "reason": reason}
        found: results.Closing = self._send("POST", at("orgs", org, "close"), body)
        return found

    def closing(self, org: str) -> results.Closing:
        """Return the progress of closing an organisation."""
        found: results.Closing = self._get(at("orgs", org, "closing"))
        return found

    def members(self, org: str) -> Rows[results.Member]:
        """Return the members of an organisation."""
        found: Rows[results.Member] = self._get(at("orgs", org, "members"))["items"]
        return found

    def set_member(self, org: str, user: str, role: str) -> results.Member:
        """Change a member's role; a user who is no member is invited instead."""
        found: results.Member = self._send("PUT", at("orgs", org, "members", user), {"role": role})
        return found

    def remove_member(self, org: str, user: str) -> results.Removed:
        """End a membership; the account and running jobs stay."""
        found: results.Removed = self._send("DELETE", at("orgs", org, "members", user))
        return found

    def leave(self, org: str) -> results.Left:
        """Leave an organisation; your keys that are tied to it are revoked."""
        found: results.Left = self._send("POST", at("orgs", org, "leave"))
        return found

    def invite(self, org: str, user: str, role: str | None = None) -> results.Invitation:
        """Invite a user by login name or e-mail address; the user becomes a member on accepting."""
        found: results.Invitation = self._send(
            "POST", at("orgs", org, "invitations"), given(user=user, role=role)
        )
        return found

    def invitations(self, org: str, *, ended: bool = False) -> Rows[results.Invitation]:
        """Return the pending invitations of an organisation; `ended`: also accepted, declined and expired ones."""
        found: Rows[results.Invitation] = self._get(at("orgs", org, "invitations"), ended=ended or None)[
            "items"
        ]
        return found

    def withdraw_invitation(self, org: str, invitation: str) -> results.Invitation:
        """Withdraw a pending invitation."""
        found: results.Invitation = self._send("DELETE", at("orgs", org, "invitations", invitation))
        return found


class Invitations(Noun):
    """Invitations that one has received."""

    def list(self) -> Rows[results.Invitation]:
        """Return the invitations that you can answer, newest first."""
        found: Rows[results.Invitation] = self._get("/invitations")["items"]
        return found

    def claim(self, code: str) -> results.Invitation:
        """Claim an invitation that came by e-mail, so that you can answer it."""
        found: results.Invitation = self._send("POST", "/invitations/claim", {"code": code})
        return found

    def accept(self, invitation: str, *, as_default: bool = False) -> results.Member:
        """Accept an invitation; `as_default`: the organisation also becomes your default."""
        path = at("invitations", invitation, "accept")
        found: results.Member = self._send("POST", path, {"as_default": as_default})
        return found

    def decline(self, invitation: str) -> results.Invitation:
        """Decline an invitation."""
        found: results.Invitation = self._send("POST", at("invitations", invitation, "decline"))
        return found


class Projects(Noun):
    """Parts of an organisation that jobs and secrets belong to."""

    def create(self, org: str, slug: str, name: str = "") -> results.Project:
        """Create a project."""
        found: results.Project = self._send("POST", at("orgs", org, "projects"), {"slug": slug, "name": name})
        return found

    def list(self, org: str) -> Iterator[results.Project]:
        """Yield the organisation's projects, oldest first."""
        return self._pages(at("orgs", org, "projects"))

    def get(self, org: str, project: str) -> results.Project:
        """Return a project by id or slug."""
        found: results.Project = self._get(at("orgs", org, "projects", project))
        return found


class Secrets(Noun):
    """Values that jobs get as variables. Nobody can read one back."""

    def list(self, org: str) -> Rows[results.Secret]:
        """Return the names of secrets, never their values."""
        found: Rows[results.Secret] = self._get(at("orgs", org, "secrets"))["items"]
        return found

    def set(self, org: str, name: str, value: str, *, project: str | None = None) -> results.Secret:
        """Store or replace a secret of the organisation, or of one project."""
        path = at("orgs", org, "secrets", name)
        found: results.Secret = self._send("PUT", path, {"value": value}, project=project)
        return found

    def delete(self, org: str, name: str, *, project: str | None = None) -> results.Removed:
        """Delete a secret."""
        found: results.Removed = self._send("DELETE", at("orgs", org, "secrets", name), project=project)
        return found
