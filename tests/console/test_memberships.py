"""Invitations, the default organisation and leaving, in the console."""

from __future__ import annotations

import re

from tests.console.visitors import PASSWORD, Console, Visitor, words


def _newcomer(console: Console, name: str) -> Visitor:
    """Somebody with an account and no organisation."""
    made = console.world.post("/users", "security", json={"name": name}).json()
    body = {"token": made["token"], "password": PASSWORD}
    assert console.world.post("/set-password", None, json=body).status_code == 200
    return console.visitor(name)


def _invitation(visitor: Visitor, path: str) -> str:
    found = re.search(r'name="invitation" value="(inv_[0-9a-z]+)"', visitor.get(path).text)
    assert found
    return found[1]


def test_an_invited_person_accepts_and_leaves(console: Console) -> None:
    guest, owner = _newcomer(console, "guest"), console.visitor("owner")
    assert "belong to no organisation yet" in words(guest.get("/"))
    assert owner.post("/members", "invite", {"user": "guest", "role": "viewer"}).status_code == 303
    assert "Pending invitations" in words(owner.get("/members"))
    assert "guest" not in words(console.visitor("viewer").get("/members"))
    shown = words(guest.get("/memberships"))
    assert "acme" in shown and "They do not see your e-mail address" in shown
    invitation = _invitation(guest, "/memberships")
    form = {"invitation": invitation, "as_default": "yes"}
    assert console.visitor("stranger").post("/memberships", "accept", form).status_code == 404
    assert guest.post("/memberships", "accept", form).status_code == 303
    assert guest.get("/members").status_code == 200 and "Pending" not in words(owner.get("/members"))
    assert guest.post("/memberships", "leave", {"membership": "acme"}).status_code == 303
    assert guest.get("/members").status_code == 403, "nothing is left to be seen"
    assert "guest" not in words(owner.get("/members"))


def test_invitations_are_declined_and_withdrawn(console: Console) -> None:
    guest, owner = _newcomer(console, "shy"), console.visitor("owner")
    owner.post("/members", "invite", {"user": "shy", "role": "member"})
    form = {"invitation": _invitation(owner, "/members")}
    assert owner.post("/members", "withdraw", form).status_code == 303
    assert guest.post("/memberships", "accept", form).status_code == 409
    owner.post("/members", "invite", {"user": "shy", "role": "member"})
    assert guest.post("/memberships", "decline", {"invitation": _invitation(guest, "/memberships")})
    again = owner.post("/members", "invite", {"user": "shy", "role": "member"})
    assert again.status_code == 409 and "declined an invitation" in words(again)
    wrong = guest.post("/memberships", "claim", {"code": "pearlinvite_x"})
    assert wrong.status_code == 404 and "code of the invitation" in words(wrong)


def test_an_operator_and_an_unknown_address_are_refused_with_the_reason(console: Console) -> None:
    owner = console.visitor("owner")
    for user, status, said in (
        ("audit", 409, "An operator account belongs to no organisation"),
        ("nobody-here", 404, "No user nobody-here"),
        ("x@example.com", 503, "sends no mail"),
    ):
        answer = owner.post("/members", "invite", {"user": user, "role": "member"})
        assert answer.status_code == status and said in words(answer)


def test_a_form_acts_where_its_page_was_and_nowhere_else(console: Console) -> None:
    """Two tabs, two organisations; and a page of an organisation that one has left since."""
    both, owner = _newcomer(console, "both"), console.visitor("owner")
    stranger = console.visitor("stranger")
    for host in (owner, stranger):
        host.post("/members", "invite", {"user": "both", "role": "owner"})
        both.post("/memberships", "accept", {"invitation": _invitation(both, "/memberships")})
    nowhere = both.get("/projects")
    assert nowhere.status_code == 200 and "Choose an organisation" in words(nowhere)
    both.get("/projects?org=beta")  # the last tab that was opened
    assert both.post("/projects", "add", {"project": "intab", "page_org": "acme"}).status_code == 303
    assert "intab" in words(owner.get("/projects")) and "intab" not in words(stranger.get("/projects"))
    both.post("/memberships", "default", {"membership": "beta"})
    both.post("/memberships", "leave", {"membership": "acme"})
    late = both.post("/projects", "add", {"project": "late", "page_org": "acme"})
    assert late.status_code == 409 and "no longer a member of acme" in words(late)
    assert "late" not in words(stranger.get("/projects"))
