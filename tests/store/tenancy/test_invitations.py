"""Nobody becomes a member without agreeing, and inviting tells an organisation nothing of accounts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from tests.joining import join

from pearlstreet.base.errors import Conflict, Forbidden, NotFound, PearlError, TooMany, Unavailable
from pearlstreet.store.tables import audit
from pearlstreet.tenancy import invitation_records, invitations, keys, members, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import Actor, InvitationState
from pearlstreet.tenancy.notices import routing
from pearlstreet.tenancy.notices.inbox import list_notices
from pearlstreet.tenancy.notices.preferences import Change, confirm_address, set_preferences
from pearlstreet.tenancy.notices.tables import deliveries
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole

from .conftest import Center

DAY_S = 86_400


def invite(center: Center, owner: Actor, user: str, role: OrgRole = OrgRole.MEMBER, org: str = "acme") -> str:
    return invitations.invite(center.store, owner, org, user, role, has_mail=True).id


def logins(center: Center, org: str = "acme") -> list[str]:
    return [one.user_name for one in members.list_members(center.store, center.security, org)]


def mailed_codes(center: Center) -> list[str]:
    rows = center.store.read(
        lambda tx: tx.rows(sa.select(deliveries).where(deliveries.c.kind == invitations.MAILED))
    )
    return [row["payload"]["code"] for row in rows]


@pytest.fixture
def acme(center: Center) -> Center:
    center.org("acme")
    return center


@pytest.fixture
def olga(acme: Center) -> Actor:
    return acme.person("olga", "acme", OrgRole.OWNER)


def test_an_invited_person_is_no_member_until_they_accept(acme: Center, olga: Actor) -> None:
    bob = acme.person("bob")
    invitation = invite(acme, olga, "bob", OrgRole.VIEWER)
    assert logins(acme) == ["olga"]
    with pytest.raises(NotFound):
        users.list_memberships_of(acme.store, olga, "bob")
    (shown,) = invitations.list_own_invitations(acme.store, bob)
    assert (shown.org_slug, shown.role, shown.invited_by) == ("acme", OrgRole.VIEWER, "olga")
    made = invitations.accept_invitation(acme.store, bob, invitation)
    assert (made.role, made.user_name) == (OrgRole.VIEWER, "bob")
    assert logins(acme) == ["bob", "olga"]
    assert invitations.list_invitations(acme.store, olga, "acme") == []
    for again in (invitations.accept_invitation, invitations.decline_invitation):
        with pytest.raises(Conflict, match="has ended"):
            again(acme.store, bob, invitation)


def test_nobody_answers_the_invitation_of_somebody_else(acme: Center, olga: Actor) -> None:
    acme.person("bob")
    eve = acme.person("eve")
    invitation = invite(acme, olga, "bob")
    for act in (invitations.accept_invitation, invitations.decline_invitation):
        with pytest.raises(NotFound):
            act(acme.store, eve, invitation)
        with pytest.raises(NotFound):
            act(acme.store, olga, invitation)
    acme.org("other")
    pia = acme.person("pia", "other", OrgRole.OWNER)
    with pytest.raises(NotFound):
        invitations.withdraw_invitation(acme.store, pia, "other", invitation)
    with pytest.raises(NotFound):
        invitations.withdraw_invitation(acme.store, pia, "acme", invitation)
    assert len(invitations.list_invitations(acme.store, olga, "acme")) == 1


def test_an_invitation_is_withdrawn_declined_or_expires(acme: Center, olga: Actor) -> None:
    bob = acme.person("bob")
    first = invite(acme, olga, "bob")
    invitations.withdraw_invitation(acme.store, olga, "acme", first)
    second = invite(acme, olga, "bob")
    acme.clock.advance(14 * DAY_S)
    bob = acme.sign_in("bob")
    olga = acme.sign_in("olga")
    assert invitations.list_own_invitations(acme.store, bob) == []
    for invitation in (first, second):
        with pytest.raises(Conflict, match="has ended"):
            invitations.accept_invitation(acme.store, bob, invitation)
    third = invite(acme, olga, "bob")
    assert invitations.decline_invitation(acme.store, bob, third).state is InvitationState.DECLINED
    with pytest.raises(Conflict, match="bob declined an invitation of acme"):
        invite(acme, olga, "bob")
    acme.store.write(invitation_records.forget_old)
    ended = invitations.list_invitations(acme.store, olga, "acme", ended=True)
    assert {one.id: one.state.value for one in ended} == {
        first: "withdrawn",
        second: "expired",
        third: "declined",
    }
    acme.clock.advance(31 * DAY_S)
    assert invite(acme, acme.sign_in("olga"), "bob")
    assert logins(acme) == ["olga"]


def test_the_same_invitation_is_one_and_another_role_is_another(acme: Center, olga: Actor) -> None:
    bob = acme.person("bob")
    first = invite(acme, olga, "bob")
    assert invite(acme, olga, "bob") == first
    second = invite(acme, olga, "bob", OrgRole.OWNER)
    assert second != first
    with pytest.raises(Conflict):  # whoever agreed to be a member has not agreed to be an owner
        invitations.accept_invitation(acme.store, bob, first)
    assert invitations.accept_invitation(acme.store, bob, second).role is OrgRole.OWNER
    with pytest.raises(Conflict, match="is a member of acme already"):
        invite(acme, olga, "bob")


def test_operators_are_not_invited_and_cannot_accept(acme: Center, olga: Actor) -> None:
    with pytest.raises(Conflict, match="operator account"):
        invite(acme, olga, "audit")
    sam = acme.person("sam")
    invitation = invite(acme, olga, "sam")
    users.set_operator_role(acme.store, acme.security, "sam", OperatorRole.AUDIT)
    with pytest.raises(Conflict, match="operator account"):
        invitations.accept_invitation(acme.store, acme.sign_in("sam"), invitation)
    assert sam.user_id not in {one.user_id for one in members.list_members(acme.store, olga, "acme")}


@pytest.mark.parametrize("act", ["accept", "decline", "list", "leave", "default"])
def test_a_tied_key_decides_nothing_about_memberships(acme: Center, olga: Actor, act: str) -> None:
    acme.org("other")
    bob = acme.person("bob", "other")
    invitation = invite(acme, olga, "bob")
    key = keys.create_key(acme.store, bob, org="other")
    tied = authenticate(acme.store, key.credential)
    acts: dict[str, Callable[[], object]] = {
        "accept": lambda: invitations.accept_invitation(acme.store, tied, invitation),
        "decline": lambda: invitations.decline_invitation(acme.store, tied, invitation),
        "list": lambda: invitations.list_own_invitations(acme.store, tied),
        "leave": lambda: members.leave_org(acme.store, tied, "other"),
        "default": lambda: members.set_default_org(acme.store, tied, None),
    }
    with pytest.raises(Forbidden, match="tied to an organisation"):
        acts[act]()


def _answer(center: Center, owner: Actor, address: str) -> tuple[str, dict[str, object]]:
    try:
        made = invitations.invite(center.store, owner, "acme", address, has_mail=True)
    except PearlError as error:
        return "error", {"text": str(error), "hint": str(error.hint)}
    return "made", {"state": made.state, "role": made.role, "by": made.invited_by, "ended": made.ended_us}


def test_an_address_is_answered_alike_whether_or_not_it_is_known(acme: Center, olga: Actor) -> None:
    users.create_user(acme.store, acme.security, "ada", email="ada@example.com")
    users.create_user(acme.store, acme.security, "mia", email="mia@example.com", org="acme")
    users.create_user(
        acme.store, acme.security, "opa", email="opa@example.com", operator_role=OperatorRole.AUDIT
    )
    confirmed = acme.person("rob")
    set_preferences(acme.store, confirmed, "me", Change(email="Rob@example.com"))
    codes = acme.store.read(lambda tx: tx.rows(sa.select(deliveries)))
    confirm_address(acme.store, confirmed, "me", codes[0]["payload"]["code"])
    answers = [_answer(acme, olga, f"{name}@example.com") for name in ("ada", "mia", "opa", "rob", "nobody")]
    assert all(answer == answers[0] for answer in answers)
    mails = acme.store.read(
        lambda tx: tx.rows(sa.select(deliveries.c.address).where(deliveries.c.kind == invitations.MAILED))
    )
    assert sorted(row["address"] for row in mails) == [
        f"{name}@example.com" for name in ("ada", "mia", "nobody", "opa", "rob")
    ]
    listed = invitations.list_invitations(acme.store, olga, "acme")
    assert not any("usr_" in str(one) for one in listed)


def test_an_address_that_anybody_could_have_written_opens_nothing(acme: Center, olga: Actor) -> None:
    """The account's address was typed by its creator; only a code that was sent there proves it."""
    acme.org("other")
    pia = acme.person("pia", "other", OrgRole.OWNER)
    invited = users.create_user(acme.store, pia, "fake", email="ada@example.com", org="other")
    fake = Actor(label="fake", user_id=invited.user.id)
    invitation = invite(acme, olga, "ada@example.com")
    assert invitations.list_own_invitations(acme.store, fake) == []
    with pytest.raises(NotFound):
        invitations.accept_invitation(acme.store, fake, invitation)
    ada = acme.person("ada")
    (code,) = mailed_codes(acme)
    for wrong in ("", code[:-1] + ("0" if code[-1] != "0" else "1"), "pearl_x"):
        with pytest.raises(NotFound, match="code of the invitation"):
            invitations.claim_invitation(acme.store, fake, wrong)
    assert invitations.claim_invitation(acme.store, ada, f" {code} ").role is OrgRole.MEMBER
    assert logins(acme) == ["olga"], "showing the code accepts nothing"
    with pytest.raises(NotFound):
        invitations.claim_invitation(acme.store, fake, code)
    invitations.accept_invitation(acme.store, ada, invitation)
    assert logins(acme) == ["ada", "olga"]


def test_a_confirmed_address_sees_its_invitation(acme: Center, olga: Actor) -> None:
    rob = acme.person("rob")
    set_preferences(acme.store, rob, "me", Change(email="rob@example.com"))
    (row,) = acme.store.read(lambda tx: tx.rows(sa.select(deliveries)))
    invitation = invite(acme, olga, "ROB@example.com")
    assert invitations.list_own_invitations(acme.store, rob) == [], "not confirmed yet"
    confirm_address(acme.store, rob, "me", row["payload"]["code"])
    assert [one.id for one in invitations.list_own_invitations(acme.store, rob)] == [invitation]
    invitations.accept_invitation(acme.store, rob, invitation)
    assert "rob" in logins(acme)


def test_without_mail_an_address_is_refused_and_a_name_is_not(acme: Center, olga: Actor) -> None:
    acme.person("bob")
    with pytest.raises(Unavailable, match="sends no mail"):
        invitations.invite(acme.store, olga, "acme", "bob@example.com", has_mail=False)
    assert invitations.invite(acme.store, olga, "acme", "bob", has_mail=False)


def test_inviting_is_limited(acme: Center, olga: Actor) -> None:
    for number in range(invitations.PER_DAY_MAX):
        invite(acme, olga, f"person{number}@example.com")
    with pytest.raises(TooMany, match="too many invitations") as refused:
        invite(acme, olga, "one.more@example.com")
    assert 0 < (refused.value.retry_after_s or 0) <= DAY_S + 1
    acme.clock.advance(DAY_S + 1)
    olga = acme.sign_in("olga")
    for number in range(invitations.PER_DAY_MAX):
        invite(acme, olga, f"other{number}@example.com")
    acme.clock.advance(DAY_S + 1)
    with pytest.raises(Conflict, match="100 pending invitations"):
        invite(acme, acme.sign_in("olga"), "one.more@example.com")


def test_one_person_is_not_invited_again_and_again(acme: Center, olga: Actor) -> None:
    acme.person("bob")
    for _ in range(invitations.PER_INVITEE_MAX):
        invitations.withdraw_invitation(acme.store, olga, "acme", invite(acme, olga, "bob"))
    with pytest.raises(TooMany):
        invite(acme, olga, "bob")


def test_one_address_gets_few_mails_from_all_organisations_and_nobody_is_told(acme: Center) -> None:
    answers = []
    for number in range(invitations.MAILS_PER_DAY + 2):
        acme.org(f"org{number}")
        owner = acme.person(f"owner{number}", f"org{number}", OrgRole.OWNER)
        made = invitations.invite(acme.store, owner, f"org{number}", "x@example.com", has_mail=True)
        answers.append((made.state, made.invitee, made.ended_us))
    assert len(set(answers)) == 1
    assert len(mailed_codes(acme)) == invitations.MAILS_PER_DAY


def test_pending_invitations_end_with_the_role_that_allowed_them(acme: Center, olga: Actor) -> None:
    """Otherwise an owner who is removed comes back by an invitation to a second account."""
    bob = acme.person("bob")
    join(acme.store, acme.person("pia").login, "acme", OrgRole.OWNER)
    invitation = invite(acme, olga, "bob", OrgRole.OWNER)
    members.remove_member(acme.store, acme.sign_in("pia"), "acme", "olga")
    with pytest.raises(Conflict, match="withdrawn"):
        invitations.accept_invitation(acme.store, bob, invitation)


def test_the_person_and_the_owners_are_told_and_foreign_eyes_are_not(acme: Center, olga: Actor) -> None:
    bob = acme.person("bob")
    invitation = invite(acme, olga, "bob", OrgRole.VIEWER)
    routing.route(acme.store)
    (notice,) = list_notices(acme.store, bob)
    assert notice.kind == "invitation.received" and notice.org_id is None
    assert "acme" in notice.words("en").title and invitation in notice.words("en").body
    assert "查看者" in notice.words("zh-CN").body
    assert list_notices(acme.store, olga) == []
    invitations.accept_invitation(acme.store, bob, invitation)
    routing.route(acme.store)
    assert [one.kind for one in list_notices(acme.store, olga)] == ["invitation.answered"]
    assert "bob has accepted" in list_notices(acme.store, olga)[0].words("en").title
    members.remove_member(acme.store, acme.sign_in("olga"), "acme", "bob")
    routing.route(acme.store)
    kinds = {one.kind for one in list_notices(acme.store, acme.sign_in("bob"))}
    assert kinds == {"invitation.received", "member.removed"}


def test_the_audit_log_tells_every_step(acme: Center, olga: Actor) -> None:
    bob = acme.person("bob")
    invitations.withdraw_invitation(acme.store, olga, "acme", invite(acme, olga, "bob"))
    invitations.accept_invitation(acme.store, bob, invite(acme, olga, "bob"))
    members.leave_org(acme.store, acme.sign_in("bob"), "acme")
    rows = acme.store.read(lambda tx: tx.rows(sa.select(audit).order_by(audit.c.seq)))
    told = [
        (row["action"], row["actor"].split(" ")[0], json.loads(row["details"]).get("role"))
        for row in rows
        if row["action"].startswith(("invitation.", "member."))
    ]
    assert told == [
        ("member.add", "security", "owner"),
        ("invitation.create", "olga", "member"),
        ("invitation.withdraw", "olga", "member"),
        ("invitation.create", "olga", "member"),
        ("invitation.accept", "bob", "member"),
        ("member.add", "bob", "member"),
        ("member.leave", "bob", "member"),
    ]
