"""The one door for addresses to call: disguises, inner networks, names that resolve inwards."""

from __future__ import annotations

import ast
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.urls import address_allowed, check_outgoing, parse_outgoing

BAD = [
    ast.literal_eval(line)
    for line in (Path(__file__).parent / "bad_urls.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PUBLIC = "140.82.112.3"


def answering(*addresses: str) -> Callable[[str], list[str]]:
    return lambda host: list(addresses)


def test_the_corpus_is_large_and_has_no_repeats() -> None:
    assert len(BAD) >= 100
    assert len(set(BAD)) == len(BAD)


@pytest.mark.parametrize("url", BAD, ids=ascii)
def test_an_address_in_disguise_is_refused_whatever_it_resolves_to(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_outgoing(url, answering(PUBLIC), field="git.url")
    assert refused.value.problems[0].field == "git.url"


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://github.com/org/repo.git", "https://github.com/org/repo.git"),
        ("HTTPS://GitHub.COM", "https://github.com/"),
        ("https://github.com./x?a=1#part", "https://github.com/x?a=1"),
        ("https://github.com:443/x", "https://github.com/x"),
        ("https://github.com:8443/x", "https://github.com:8443/x"),
        ("https://bücher.de/x", "https://xn--bcher-kva.de/x"),
        ("https://例子.中国/x", "https://xn--fsqu00a.xn--fiqs8s/x"),
        ("https://140.82.112.3/x", "https://140.82.112.3/x"),
        ("https://[2606:4700::6810:84e5]/x", "https://[2606:4700::6810:84e5]/x"),
        ("https://github.com/a%20b/..%2f", "https://github.com/a%20b/..%2f"),
    ],
)
def test_an_honest_address_passes_in_one_spelling(url: str, written: str) -> None:
    checked = check_outgoing(url, answering(PUBLIC))
    assert str(checked.url) == written


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.1.2.3",),
        ("169.254.169.254",),
        ("::1",),
        ("::ffff:10.0.0.1",),
        ("fe80::1",),
        (PUBLIC, "192.168.0.1"),
        ("fd00::1", PUBLIC),
        ("not an address",),
        (),
    ],
)
def test_a_public_name_that_resolves_inwards_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        check_outgoing("https://rebind.evil.org/x", answering(*addresses))


def test_the_answer_pins_the_addresses_that_were_checked() -> None:
    asked: list[str] = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return [PUBLIC, "2606:4700::6810:84e5"]

    checked = check_outgoing("https://GitHub.com:8443/x", resolve)
    assert asked == ["github.com"]
    assert checked.addresses == (PUBLIC, "2606:4700::6810:84e5")
    assert (checked.host, checked.port) == ("github.com", 8443)


def test_a_name_nobody_knows_is_told_as_such() -> None:
    def resolve(host: str) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(InvalidInput, match=r"nowhere\.org cannot be found"):
        check_outgoing("https://nowhere.org/x", resolve)


def test_our_own_public_address_is_refused() -> None:
    with pytest.raises(InvalidInput):
        check_outgoing("https://me.org/x", answering(PUBLIC), own=(PUBLIC,))


def test_an_operator_may_allow_the_inner_network_but_never_metadata() -> None:
    schemes = ("https", "http")
    inner = check_outgoing(
        "http://git.lan:3000/x", answering("10.0.0.7"), schemes=schemes, allow_private=True
    )
    assert inner.addresses == ("10.0.0.7",)
    assert check_outgoing("http://127.0.0.1:80/", answering(), schemes=schemes, allow_private=True).port == 80
    assert check_outgoing("http://[::1]:8080/", answering(), schemes=schemes, allow_private=True).port == 8080
    for address in ("169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "168.63.129.16"):
        with pytest.raises(InvalidInput):
            check_outgoing("http://git.lan/x", answering(address), schemes=schemes, allow_private=True)


def test_the_short_form_of_git_is_answered_with_the_long_one() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_outgoing("git@github.com:org/repo.git")
    assert str(refused.value.hint) == "Write https://github.com/org/repo.git"


@given(st.integers(0, 2**32 - 1))
def test_every_spelling_of_a_refused_ipv4_address_is_refused(number: int) -> None:
    address = ip_address(number)
    if not address_allowed(address):
        mapped = f"[::ffff:{address}]"
        for host in (str(address), str(number), hex(number), f"0{number:o}", mapped):
            with pytest.raises(InvalidInput):
                parse_outgoing(f"https://{host}/")


@given(st.text(max_size=60))
def test_any_text_is_answered_with_an_address_or_a_refusal(url: str) -> None:
    for candidate in (url, f"https://{url}", f"https://{url}.com/x"):
        try:
            parsed = parse_outgoing(candidate)
        except InvalidInput:
            continue
        assert str(parsed).isascii()
        assert parse_outgoing(str(parsed)) == parsed
