"""Projects, members, secrets, keys, users, one's own account: actions do what they say, secrets are shown once."""

from __future__ import annotations

import re

import pytest

from tests.console.visitors import PASSWORD, Console, Visitor, words

HOSTILE = '"><img src=x onerror=alert(1)>'


def _link(answer_text: str) -> str:
    found = re.search(r"set-password\?link=([0-9a-z_]+)", answer_text)
    assert found, "the link is shown"
    return found[1]


def _id(visitor: Visitor, user: str) -> str:
    """A member's id, from the form in their row."""
    rows = visitor.get("/members").text.split("<tr>")
    row = next(part for part in rows if re.search(rf'data-th="Login name">{user}\b', part))
    found = re.search(r'name="member" value="(usr_[0-9a-z]+)"', row)
    assert found
    return found[1]


def test_an_owner_makes_a_project_and_a_viewer_does_not(console: Console) -> None:
    owner = console.visitor("owner")
    assert owner.post("/projects", "add", {"project": "vision", "name": HOSTILE}).status_code == 303
    shown = owner.get("/projects")
    assert "vision" in words(shown) and HOSTILE not in shown.text
    viewer = console.visitor("viewer")
    assert viewer.post("/projects", "add", {"project": "other"}).status_code == 403
    assert "vision" not in words(console.visitor("stranger").get("/projects"))


def test_a_wrong_project_keeps_what_was_typed(console: Console) -> None:
    answer = console.visitor("owner").post("/projects", "add", {"project": "Not A Slug", "name": "Kept"})
    assert answer.status_code == 422
    assert 'value="Not A Slug"' in answer.text and 'value="Kept"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_a_new_member_gets_a_link_that_is_shown_once_and_works_once(console: Console) -> None:
    owner = console.visitor("owner")
    made = owner.post("/members", "add", {"name": "newcomer", "role": "member"})
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    token = _link(made.text)
    assert token not in owner.get("/members").text
    assert "newcomer" in words(owner.get("/members"))
    page = console.visitor().get(f"/set-password?link={token}")
    assert f'value="{token}"' in page.text, "the code is filled in already"
    form = {"link": token, "password": PASSWORD, "again": PASSWORD}
    assert console.visitor().post("/set-password", "set", form).status_code == 303
    assert console.visitor().post("/set-password", "set", form).status_code == 401
    assert "newcomer" not in words(console.visitor("stranger").get("/members"))


def test_an_organisation_keeps_an_owner(console: Console) -> None:
    owner = console.visitor("owner")
    member = _id(owner, "owner")
    for do, form in (("remove", {}), ("role", {"role": "viewer"})):
        answer = owner.post("/members", do, {"member": member, **form})
        assert answer.status_code == 409
        assert "is the last owner of acme" in words(answer) and "Make somebody else an owner first" in words(
            answer
        )


def test_roles_change_and_end_at_once(console: Console) -> None:
    owner, member = console.visitor("owner"), _id(console.visitor("owner"), "member")
    assert owner.post("/members", "role", {"member": member, "role": "viewer"}).status_code == 303
    assert console.world.post("/jobs", "member", json={"command": "x"}).status_code == 403
    assert owner.post("/members", "role", {"member": member, "role": "member"}).status_code == 303
    assert console.visitor("viewer").post("/members", "remove", {"member": member}).status_code == 403
    assert console.visitor("stranger").post("/members", "remove", {"member": member}).status_code == 404
    answer = owner.post("/members", "role", {"member": member, "role": "emperor"})
    assert answer.status_code == 422 and "no role emperor" in words(answer)


def test_a_secret_goes_in_and_never_comes_back(console: Console) -> None:
    owner = console.visitor("owner")
    value = "s3cr3t-canary-1"
    assert owner.post("/secrets", "keep", {"name": "hub-login", "secret": value}).status_code == 303
    assert "hub-login" in words(owner.get("/secrets")) and value not in owner.get("/secrets").text
    wrong = owner.post("/secrets", "keep", {"name": "no good", "secret": "s3cr3t-canary-2"})
    assert wrong.status_code == 422 and 'value="no good"' in wrong.text
    assert "s3cr3t-canary-2" not in wrong.text
    assert "hub-login" not in words(console.visitor("stranger").get("/secrets"))
    assert console.visitor("viewer").post("/secrets", "delete", {"name": "hub-login"}).status_code == 403
    assert owner.post("/secrets", "delete", {"name": "hub-login"}).status_code == 303
    assert "No secret yet" in words(owner.get("/secrets"))


def test_a_key_is_shown_once_and_does_what_was_chosen(console: Console) -> None:
    owner = console.visitor("owner")
    form = {"label": HOSTILE, "which": "some", "scope": ["jobs:read"], "life_days": "7", "place": "acme"}
    made = owner.post("/keys", "create", form)
    assert made.status_code == 200 and HOSTILE not in made.text
    key = next(one for one in re.findall(r"pearl_[0-9a-z]+_[0-9a-z]+", made.text))
    assert f"pearl login --url http://center --key {key}" in words(made)
    secret = key.rpartition("_")[2]
    assert secret not in owner.get("/keys").text
    assert console.world.get("/jobs", key).status_code == 200
    assert console.world.post("/jobs", key, json={"command": "x"}).status_code == 403
    row = re.search(r'name="key" value="(key_[0-9a-z]+)"', owner.get("/keys").text)
    assert row
    stranger = console.visitor("stranger").post("/keys", "revoke", {"key": row[1]})
    assert stranger.status_code == 404 and console.world.get("/jobs", key).status_code == 200
    assert owner.post("/keys", "revoke", {"key": row[1]}).status_code == 303
    assert console.world.get("/jobs", key).status_code == 401


def test_the_same_form_makes_one_key(console: Console) -> None:
    viewer = console.visitor("viewer")
    form = {"label": "only-one", "life_days": "7", "once": "0123456789abcdef"}
    assert viewer.post("/keys", "create", form).status_code == 200
    again = viewer.post("/keys", "create", form)
    assert again.status_code == 303
    assert words(viewer.get("/keys")).count("only-one key_") == 1


@pytest.mark.parametrize("scopes", [[], ["no:such"], ["prices:write"]])
def test_a_key_beyond_ones_own_scopes_is_refused(console: Console, scopes: list[str]) -> None:
    form = {"label": "kept-label", "which": "some", "scope": scopes, "life_days": "7"}
    answer = console.visitor("owner").post("/keys", "create", form)
    assert answer.status_code in (403, 422) and 'value="kept-label"' in answer.text


def test_owners_see_the_keys_of_their_members_only(console: Console) -> None:
    assert console.visitor("owner").get("/keys?everyone=1").status_code == 200
    shown = words(console.visitor("viewer").get("/keys?everyone=1"))
    assert "Other people's too" not in shown


def test_ones_own_password_and_sessions(console: Console) -> None:
    console.visitor("owner").post("/members", "add", {"name": "changer", "role": "viewer"})
    console.set_password("changer")
    visitor, other = console.visitor("changer"), console.visitor("changer")
    assert words(visitor.get("/account")).count("(this one)") == 1
    wrong = visitor.post("/account", "password", {"current": PASSWORD, "new": "a", "again": "b"})
    assert wrong.status_code == 422 and "not the same" in words(wrong) and PASSWORD not in wrong.text
    fresh = "another quiet long afternoon"
    form = {"current": PASSWORD, "new": fresh, "again": fresh}
    assert visitor.post("/account", "password", form).status_code == 303
    assert visitor.get("/account").status_code == 200
    assert other.get("/account").status_code == 303, "the other session has ended"
    own = re.search(r'name="session" value="(ses_[0-9a-z]+)"', visitor.get("/account").text)
    assert own
    assert console.visitor("owner").post("/account", "end", {"session": own[1]}).status_code == 404
    assert visitor.post("/account", "end", {"session": own[1]}).headers["location"] == "/sign-in"


def test_the_security_operator_runs_accounts(console: Console) -> None:
    security = console.visitor("security")
    made = security.post("/users", "create", {"name": "clerk", "duty": "audit"})
    assert made.status_code == 200
    token = _link(made.text)
    page = security.get("/users?name=cler")
    row = re.search(r'href="/users/(usr_[0-9a-z]+)">clerk<', page.text)
    assert row and ">stranger<" not in page.text
    place = f"/users/{row[1]}"
    assert _link(security.post(place, "link").text) != token
    form = {"link": token, "password": PASSWORD, "again": PASSWORD}
    assert console.visitor().post("/set-password", "set", form).status_code == 401, "the earlier link ended"
    console.set_password("clerk")
    clerk = console.visitor("clerk")
    assert clerk.get("/").status_code == 200
    assert security.post(place, "suspend", {"reason": "holiday"}).status_code == 303
    assert clerk.get("/").status_code == 303
    assert security.post(place, "resume").status_code == 303
    assert security.post(place, "duty", {"duty": ""}).status_code == 303
    assert security.post(place, "close").status_code == 303
    assert "closed" in words(security.get(place))


def test_accounts_are_for_operators_and_changing_them_for_security(console: Console) -> None:
    for role in ("owner", "viewer", "audit"):
        assert console.visitor(role).get("/users").status_code == 403
    system = console.visitor("system")
    shown = system.get("/users")
    assert shown.status_code == 200 and "New account" not in words(shown)
    assert system.post("/users", "create", {"name": "sneaky"}).status_code == 403
    assert "sneaky" not in words(console.visitor("security").get("/users"))
