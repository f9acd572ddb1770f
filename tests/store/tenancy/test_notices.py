"""Who is told of what: the right people, once, where they chose, in their language."""

from __future__ import annotations

import pytest
from tests.store.tenancy.conftest import Center
from tests.store.tenancy.telling import emit, failed, step

from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, TooMany
from pearlstreet.base.text import text
from pearlstreet.store.core import Store
from pearlstreet.tenancy import keys, members, users
from pearlstreet.tenancy.invitations import MAILED
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.notices import deliveries, inbox, preferences, routing
from pearlstreet.tenancy.notices.kinds import BODIES, KINDS, TITLES, WHAT, words_of
from pearlstreet.tenancy.notices.owners import CENTER, ME
from pearlstreet.tenancy.notices.preferences import CONFIRM, Change
from pearlstreet.tenancy.notices.tables import deliveries as delivery_table
from pearlstreet.tenancy.scopes import OrgRole


def titles(center: Center, who: Actor, language: str = "en") -> list[str]:
    return [notice.words(language).title for notice in inbox.list_notices(center.store, who)]


def waiting(store: Store) -> list[dict[str, object]]:
    import sqlalchemy as sa

    query = sa.select(delivery_table).order_by(delivery_table.c.id)
    return [dict(row) for row in store.read(lambda tx: tx.rows(query))]


def test_every_kind_has_its_words() -> None:
    assert set(WHAT) == set(KINDS)
    assert set(TITLES) == set(BODIES) == set(KINDS) | {CONFIRM, MAILED}


def test_a_failed_job_is_told_to_who_submitted_it_once_and_to_nobody_else(center: Center) -> None:
    org = center.org("acme")
    ada = center.person("ada", "acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    payload = failed("ada", reason=text("The command ended with exit code {code}", code=3).to_json())
    emit(center.store, "job.ended", payload, org.id)
    step(center)
    step(center)
    found = inbox.list_notices(center.store, ada)
    assert [notice.kind for notice in found] == ["job.failed"]
    assert "exit code 3" in found[0].words("en").body
    assert found[0].words("zh-CN").title == "作业 train 失败"
    assert titles(center, owner) == []


def test_an_array_is_told_of_once_and_its_elements_are_not(center: Center) -> None:
    org, ada = center.org("acme"), center.person("ada", "acme")
    for index in range(3):
        emit(center.store, "job.ended", failed("ada", f"e{index}", array="job_a"), org.id)
    emit(center.store, "job.ended", failed("ada", "all"), org.id)
    step(center)
    assert titles(center, ada) == ["Job all has failed"]


def test_who_left_the_organisation_hears_nothing_more_from_there(center: Center) -> None:
    org, ada = center.org("acme"), center.person("ada", "acme")
    members.remove_member(center.store, center.security, "acme", "ada")
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center)
    assert titles(center, ada) == ["You are no longer a member of acme"]


def test_money_is_told_to_owners_and_the_operators_business_to_operators(center: Center) -> None:
    org = center.org("acme")
    owner, member = center.person("olga", "acme", OrgRole.OWNER), center.person("ada", "acme")
    foreign = center.person("eve", None)
    emit(center.store, "invoice.issued", {"number": "PS-1", "total": "9.00", "month": "2026-01"}, org.id)
    emit(center.store, "node.unhealthy", {"node": "n1", "state": "unhealthy"})
    emit(center.store, "something.else", {})
    step(center)
    assert titles(center, owner) == ["Invoice PS-1 was issued"]
    assert titles(center, member) == titles(center, foreign) == []
    assert titles(center, center.system) == ["Node n1 is unhealthy"]
    assert titles(center, center.security) == titles(center, center.audit) == []


def test_an_event_is_told_once_also_when_the_routing_is_interrupted(
    sqlite_center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = sqlite_center
    org, ada = center.org("acme"), center.person("ada", "acme")
    emit(center.store, "job.ended", failed("ada"), org.id)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(routing.outbox, "advance", crash)
        with pytest.raises(KeyboardInterrupt):
            routing.route(center.store)
    assert titles(center, ada) == [], "told and remembered, or neither"
    step(center)
    assert titles(center, ada) == ["Job train has failed"]


def test_people_choose_kinds_and_channels(center: Center) -> None:
    org, ada = center.org("acme"), center.person("ada", "acme")
    ended = {"job": "job_1", "name": "train", "state": "succeeded", "user": "ada"}
    emit(center.store, "job.ended", ended, org.id)
    step(center)
    assert titles(center, ada) == [], "not unless it is asked for"
    chosen = Change(kinds={"job.ended": ["inbox"], "job.failed": []})
    assert "inbox" in preferences.set_preferences(center.store, ada, ME, chosen).channels(KINDS["job.ended"])
    emit(center.store, "job.ended", ended, org.id)
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center)
    assert titles(center, ada) == ["Job train has ended: succeeded"]
    preferences.set_preferences(center.store, ada, ME, Change(kinds={"job.failed": None}))
    emit(center.store, "job.ended", failed("ada"), org.id)
    step(center)
    assert titles(center, ada)[0] == "Job train has failed", "as usual again"


def test_wrong_preferences_are_refused_with_what_would_be_right(center: Center) -> None:
    ada = center.person("ada")
    for change, field in (
        (Change(language="fr"), "language"),
        (Change(kinds={"job.dances": ["inbox"]}), "kinds.job.dances"),
        (Change(kinds={"job.failed": ["pigeon"]}), "kinds.job.failed"),
        (Change(email="not an address"), "email"),
    ):
        with pytest.raises(InvalidInput) as caught:
            preferences.set_preferences(center.store, ada, ME, change)
        assert caught.value.problems[0].field == field


def test_only_owners_choose_for_an_organisation_and_only_operators_for_the_center(center: Center) -> None:
    center.org("acme")
    member, foreign = center.person("ada", "acme"), center.person("eve")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    preferences.set_preferences(center.store, owner, "acme", Change(kinds={"invoice.issued": ["email"]}))
    with pytest.raises(Forbidden):
        preferences.get_preferences(center.store, member, "acme")
    with pytest.raises(NotFound):
        preferences.get_preferences(center.store, foreign, "acme")
    with pytest.raises(Forbidden):
        preferences.get_preferences(center.store, owner, CENTER)
    with pytest.raises(InvalidInput):
        preferences.set_preferences(center.store, owner, "acme", Change(kinds={"backup.failed": ["email"]}))


def test_an_address_is_used_only_once_it_is_confirmed_and_guesses_are_few(center: Center) -> None:
    org = center.org("acme")
    owner = center.person("olga", "acme", OrgRole.OWNER)
    preferences.set_preferences(center.store, owner, "acme", Change(email="money@acme.example"))
    asked = waiting(center.store)
    assert [(row["kind"], row["address"]) for row in asked] == [(CONFIRM, "money@acme.example")]
    emit(center.store, "invoice.issued", {"number": "PS-1"}, org.id)
    step(center)
    assert [row["kind"] for row in waiting(center.store)] == [CONFIRM], "not confirmed: nothing but the code"
    code = str(asked[0]["payload"]["code"])  # type: ignore[index]
    wrong = "0" * 8 if code != "0" * 8 else "1" * 8
    with pytest.raises(InvalidInput):
        preferences.confirm_address(center.store, owner, "acme", wrong)
    assert preferences.confirm_address(center.store, owner, "acme", code).confirmed
    emit(center.store, "invoice.issued", {"number": "PS-2"}, org.id)
    step(center)
    assert [row["kind"] for row in waiting(center.store)] == [CONFIRM, "invoice.issued"]
    center.clock.advance(1)
    preferences.set_preferences(center.store, owner, "acme", Change(email="other@acme.example"))
    for _ in range(preferences.CODE_TRIES):
        with pytest.raises(InvalidInput):
            preferences.confirm_address(center.store, owner, "acme", "x")
    newest = str(waiting(center.store)[-1]["payload"]["code"])  # type: ignore[index]
    with pytest.raises(InvalidInput):
        preferences.confirm_address(center.store, owner, "acme", newest)


def test_nobodys_mailbox_can_be_flooded(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAILS_PER_HOUR", 3)
    org = center.org("acme")
    users.create_user(center.store, center.security, "ada", email="ada@acme.example", org="acme")
    for number in range(5):
        emit(center.store, "job.ended", failed("ada", f"j{number}"), org.id)
    step(center)
    assert len(waiting(center.store)) == 3
    eve = center.person("eve", "acme")
    for _ in range(3):
        preferences.set_preferences(center.store, eve, ME, Change(email="victim@else.example"))
    with pytest.raises(TooMany):
        preferences.set_preferences(center.store, eve, ME, Change(email="victim@else.example"))
    center.clock.advance(3601)
    preferences.set_preferences(center.store, eve, ME, Change(email="eve@acme.example"))


def test_reading_is_each_persons_own(center: Center) -> None:
    org = center.org("acme")
    ada, bob = center.person("ada", "acme"), center.person("bob", "acme")
    for name in ("one", "two"):
        emit(center.store, "job.ended", failed("ada", name), org.id)
    step(center)
    first = inbox.list_notices(center.store, ada)[-1]
    assert inbox.count_unread(center.store, ada) == 2
    with pytest.raises(NotFound):
        inbox.mark_read(center.store, bob, [first.id])
    assert inbox.mark_read(center.store, ada, [first.id]) == 1
    assert inbox.mark_read(center.store, ada, [first.id]) == 0, "again changes nothing"
    assert [n.words("en").title for n in inbox.list_notices(center.store, ada, unread=True)] == [
        "Job two has failed"
    ]
    assert inbox.mark_read(center.store, ada, None) == 1
    assert inbox.count_unread(center.store, ada) == 0
    assert inbox.mark_read(center.store, ada, [first.id], read=False) == 1


def test_an_inbox_keeps_the_newest_and_forgets_the_old(
    center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "KEPT_MAX", 3)
    org, ada = center.org("acme"), center.person("ada", "acme")
    for number in range(5):
        emit(center.store, "job.ended", failed("ada", f"j{number}"), org.id)
        center.clock.advance(1)
        step(center)
    center.store.write(inbox.forget_old)
    assert titles(center, ada) == [f"Job j{number} has failed" for number in (4, 3, 2)]
    center.clock.advance(91 * 86_400)
    center.store.write(inbox.forget_old)
    assert inbox.list_notices(center.store, center.system) == []
    assert center.store.read(lambda tx: tx.scalar(_count())) == 0


def _count() -> object:
    import sqlalchemy as sa

    from pearlstreet.tenancy.notices.tables import notices

    return sa.select(sa.func.count()).select_from(notices)


def test_a_key_is_told_of_a_week_and_a_day_before_its_end_and_short_ones_are_not(center: Center) -> None:
    center.org("acme")
    ada = center.person("ada", "acme")
    keys.create_key(center.store, ada, "laptop", life_days=30)
    keys.create_key(center.store, ada, "an hour", life_days=1 / 24)
    told = []
    for _ in range(31):
        center.clock.advance(86_400 - 60)
        step(center)
        step(center)
        again = _again(center)
        told.append(len([t for t in titles(center, again) if "laptop" in t]))
    assert told[21] == 0 and told[23] == 1 and told[-1] == 2
    assert not [t for t in titles(center, _again(center)) if "an hour" in t]


def _again(center: Center) -> Actor:
    """A fresh sign-in: sessions end long before the keys."""
    return center.sign_in("ada")


def test_words_survive_values_that_are_missing_and_kinds_that_are_gone() -> None:
    assert words_of("job.failed", {}, "en").title == "Job - has failed"
    assert words_of("of.a.newer.version", {"x": 1}, "zh-CN").title == "of.a.newer.version"
