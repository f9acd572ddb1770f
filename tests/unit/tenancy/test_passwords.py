from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.rng import SystemRng
from pearlstreet.tenancy import passwords
from pearlstreet.tenancy.lockout import LONGEST_S, delay_s, network


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "a" * 40,
        "abcabcabcabcabc",
        "password1234",
        "P@ssw0rd!!!!2024",
        "qwertyuiopqwerty",
        "123456789012",
        "0987654321098",
        "alice-1234567",
        "letmein-welcome-1",
        "2024-01-01 12:00",
        "pearlstreet!!!",
        "x" * 300,
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        passwords.check_password(password, "alice")


@pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "Tr0ub4dor&3xyz", "床前明月光疑是地上霜举头望", "nQ8$vT2!mK9@"],
)
def test_long_and_unusual_is_enough(password: str) -> None:
    passwords.check_password(password, "alice")


@given(st.text(max_size=300), st.from_regex(r"[a-z0-9]{1,40}", fullmatch=True))
def test_every_text_gets_a_verdict(password: str, name: str) -> None:
    problem = passwords.weakness(password, name)
    if len(passwords.normal(password)) < passwords.MIN_LENGTH:
        assert problem is not None


def test_only_the_right_password_opens_and_no_user_is_like_a_wrong_password() -> None:
    kept = passwords.hash_password("correct horse battery staple", SystemRng())
    assert kept.startswith("$argon2id$") and len(kept) <= 200
    assert passwords.is_password("correct horse battery staple", kept)
    for wrong in ("", "correct horse battery stapl", "\ud800", "x" * 1000):
        assert not passwords.is_password(wrong, kept)
    assert not passwords.is_password("correct horse battery staple", None)
    assert not passwords.is_password("correct horse battery staple", "not a hash")


def test_looking_for_nobody_costs_what_looking_for_somebody_costs() -> None:
    """The same parameters, so the same memory and passes."""
    kept = passwords.hash_password("correct horse battery staple", SystemRng())
    assert kept.split("$")[:4] == passwords._NOBODY.split("$")[:4]
    assert [len(part) for part in kept.split("$")] == [len(part) for part in passwords._NOBODY.split("$")]


def test_full_width_letters_are_the_same_password() -> None:
    kept = passwords.hash_password("ｃｏｒｒｅｃｔ horse battery", SystemRng())
    assert passwords.is_password("correct horse battery", kept)


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_delays_grow_to_a_bound(failures: int, free: int) -> None:
    now, then = delay_s(failures, free), delay_s(failures + 1, free)
    assert 0 <= now <= then <= LONGEST_S and (now == 0) == (failures < free)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("unix", "unix", True),
    ],
)
def test_addresses_of_one_customer_count_as_one(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) == same
