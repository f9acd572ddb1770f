"""A sealed value opens under its own key and context only, and shows any change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import SeededRng
from pearlstreet.store.sealing import Sealer, SealingKey

KEYS = st.binary(min_size=32, max_size=32).map(SealingKey)


@given(KEYS, st.binary(max_size=200), st.text(max_size=30))
def test_what_was_sealed_opens(key: SealingKey, plain: bytes, context: str) -> None:
    sealer = Sealer((key,), SeededRng(1))
    sealed = sealer.seal(plain, context)
    assert sealer.open(sealed, context) == plain
    assert len(plain) < 4 or plain not in sealed


@given(KEYS, st.binary(max_size=50), st.data())
def test_any_change_or_other_context_is_refused(key: SealingKey, plain: bytes, data: st.DataObject) -> None:
    sealer = Sealer((key,), SeededRng(2))
    sealed = sealer.seal(plain, "secret a")
    with pytest.raises(ConfigurationError):
        sealer.open(sealed, "secret b")
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = bytes([sealed[at] ^ data.draw(st.integers(1, 255))])
    with pytest.raises(ConfigurationError):
        sealer.open(sealed[:at] + flipped + sealed[at + 1 :], "secret a")
    with pytest.raises(ConfigurationError):
        sealer.open(sealed[:at], "secret a")


def test_older_keys_open_and_the_first_one_seals() -> None:
    old, new = SealingKey(bytes(32)), SealingKey(bytes(range(32)))
    sealed = Sealer((old,), SeededRng(3)).seal(b"x", "c")
    both = Sealer((new, old), SeededRng(4))
    assert both.open(sealed, "c") == b"x"
    assert both.mac_is_right(b"m", Sealer((old,), SeededRng(5)).mac(b"m"))
    with pytest.raises(ConfigurationError, match="which is missing") as caught:
        Sealer((old,), SeededRng(6)).open(both.seal(b"x", "c"), "c")
    assert caught.value.hint is not None


@pytest.mark.parametrize("content", ["", "short", "é" * 43, "A" * 40, "=" * 44])
def test_what_is_no_key_is_refused_without_repeating_it(content: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SealingKey.from_text(content)
    assert not content or content not in str(caught.value)


@given(KEYS)
def test_a_key_survives_its_file(key: SealingKey) -> None:
    assert SealingKey.from_text(f" {key.to_text()}\n") == key
