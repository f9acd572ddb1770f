from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.ids import encode
from pearlstreet.tenancy import credentials

numbers = st.integers(min_value=0, max_value=(1 << 128) - 1)
kinds = st.sampled_from(sorted(credentials.ID_PREFIX))


@given(kinds, numbers, numbers, numbers)
def test_what_is_written_is_read_back(kind: str, public: int, first: int, second: int) -> None:
    secret = encode(first) + encode(second)
    parsed = credentials.parse(f"{kind}_{encode(public)}_{secret}")
    assert parsed is not None
    assert (parsed.kind, parsed.secret) == (kind, secret)
    assert parsed.row_id == f"{credentials.ID_PREFIX[kind]}_{encode(public)}"
    assert secret not in repr(parsed)
    assert credentials.is_right(secret, credentials.digest(secret))


@given(st.text())
def test_any_text_is_read_or_refused_without_a_fault(value: str) -> None:
    assert credentials.parse(value) is None


@given(kinds, numbers, numbers, st.integers(0, 90), st.characters())
def test_one_changed_character_is_another_credential_or_none(
    kind: str, public: int, first: int, place: int, character: str
) -> None:
    right = f"{kind}_{encode(public)}_{encode(first)}{encode(public)}"
    place %= len(right)
    wrong = right[:place] + character + right[place + 1 :]
    before, after = credentials.parse(right), credentials.parse(wrong)
    assert wrong == right or after != before
    assert credentials.parse(right + character) is None
