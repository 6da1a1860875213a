"""What callers prove themselves with."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.identity import credential as credentials
from services.gateway.identity.credential import Credential

RANDOMNESS = st.binary(min_size=42, max_size=42)
SECRET = "A" * 43
RIGHT = f"hi_{'a' * 16}_{SECRET}"


@given(RANDOMNESS)
def test_what_is_made_is_read_back_from_every_header_that_may_hold_it(randomness: bytes) -> None:
    made = credentials.make(randomness)
    assert re.fullmatch(r"hi_[a-z0-9]{16}_[A-Za-z0-9_-]{43}", made.text())
    assert credentials.parse(made.text()) == made
    for header in (f"Bearer {made.text()}", f"bearer  {made.text()} ", f"BEARER {made.text()}"):
        assert credentials.of_header(header) == made


@given(RANDOMNESS, RANDOMNESS)
def test_no_two_are_the_same_and_a_rotated_one_keeps_its_id(one: bytes, other: bytes) -> None:
    first, second = credentials.make(one), credentials.make(other)
    assert (first == second) == (one == other)
    rotated = credentials.make(other, key_id=first.key_id)
    assert (rotated.key_id, rotated.secret) == (first.key_id, second.secret)


@given(
    st.text()
    | st.text(alphabet="hi_ab09-_A").map("hi_".__add__)
    | st.from_regex(r"hi_\w{16}_[\w-]{43}", fullmatch=True)
)
def test_any_other_text_is_none_and_what_is_one_is_all_ascii(text: str) -> None:
    found = credentials.parse(text)
    assert found is None or (found.text() == text and text.isascii() and len(text) == 63)
    assert credentials.of_header(text) is None, "the scheme is missing"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        RIGHT,
        f"Basic {RIGHT}",
        f"Bearer {RIGHT}x",
        f"Bearer {RIGHT[:-1]}",
        f"Bearer {RIGHT}\n",
        f"Bearer {RIGHT} {RIGHT}",
        f"Bearer {RIGHT},Bearer {RIGHT}",
        f"Bearer {RIGHT.upper()}",
        f"Bearer hi_{'A' * 16}_{SECRET}",
        f"Bearer hi_{'٣' * 16}_{SECRET}",
        f"Bearer hi_{'a' * 16}_{SECRET[:-4]}' --",
        "Bearer hi_' OR key_id LIKE '%_" + SECRET,
        "Bearer hi_%%%%%%%%%%%%%%%%_" + SECRET,
        "Bearer sk-" + "a" * 48,
        "Bearer " + "a" * 60_000,
    ],
)
def test_what_only_looks_like_one_is_none(header: str) -> None:
    assert credentials.of_header(header) is None


def test_the_secret_is_in_no_representation() -> None:
    made = credentials.make(bytes(42))
    assert made.secret not in repr(made)
    assert made.secret not in f"{made}"


@given(RANDOMNESS, st.binary(min_size=32, max_size=32), st.integers(0, 42))
def test_what_is_stored_is_another_for_another_secret_id_or_pepper(randomness: bytes, pepper: bytes, at: int) -> None:
    made = credentials.make(randomness)
    mac = credentials.mac(pepper, made)
    assert len(mac) == 32
    assert mac == credentials.mac(pepper, made)
    changed = made.secret[:at] + ("A" if made.secret[at : at + 1] != "A" else "B") + made.secret[at + 1 :]
    assert mac != credentials.mac(pepper, Credential(made.key_id, changed))
    assert mac != credentials.mac(pepper, Credential("a" * 16 if made.key_id != "a" * 16 else "b" * 16, made.secret))
    assert mac != credentials.mac(pepper[1:] + b"x" + pepper[:1], made)


@pytest.mark.parametrize(
    ("randomness", "key_id"), [(b"", ""), (bytes(41), ""), (bytes(42), "A" * 16), (bytes(42), "a")]
)
def test_nothing_less_is_made(randomness: bytes, key_id: str) -> None:
    with pytest.raises(ValueError, match=r"random bytes|no key's id"):
        credentials.make(randomness, key_id=key_id)
