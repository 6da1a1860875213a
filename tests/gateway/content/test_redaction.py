"""What looks like a secret or a person's data is taken out; the rest, and the shape of JSON, stay."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.gateway.content.persons import is_card
from services.gateway.content.redaction import redact, redact_json

# Made up, or published as examples: the IBANs are of the registry's, the cards of payment processors' test pages.
FOUND = [
    ("mail ada.lovelace+x@example.co.uk.", "mail [email]."),
    ("(grüße@müller.example)", "([email])"),
    ("https://ada:pass@host.example/x", "https://ada:[email]/x"),
    ("call +49 (0)151 23456789 now", "call [phone] now"),
    ("tel:+15551234567", "tel:[phone]"),
    ("0049 151 23456789", "[phone]"),
    ("(212) 555-0123 or 212.555.0123", "[phone] or [phone]"),
    ("1-800-555-0123", "1-[phone]"),
    ("0151 23456789, 030/1234567, 06 12 34 56 78", "[phone], [phone], [phone]"),
    ("4111 1111 1111 1111", "[card]"),
    ("card4242-4242-4242-4242.", "card[card]."),
    ("378282246310005 3782 822463 10005", "[card] [card]"),
    ("DE89370400440532013000", "[iban]"),
    ("to GB82 WEST 1234 5698 7654 32 please", "to [iban] please"),
    ("gb82west12345698765432", "[iban]"),
    ("hi_abcdefgh01234567_" + "A-_z" * 10 + "abc", "[key]"),
    ("ha_abcdefgh01234567_" + "A" * 43, "[key]"),
    ("use sk-proj-aB3dEf6h_Ij-kL and go", "use [key] and go"),
    ("Incorrect API key provided: sk-ab***********wxyz.", "Incorrect API key provided: [key]."),
    ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[key]"),
    ("AKIAIOSFODNN7EXAMPLE", "[key]"),
    ("ghp_" + "a1B2" * 9, "[key]"),
    ("xoxb-1234567890-abcdefghij", "[key]"),
    ('{\\"k\\": \\"a\\nsk-abcdef123456\\"}', '{\\"k\\": \\"a\\n[key]\\"}'),
    ("Authorization: Bearer abc.def-123", "Authorization: Bearer [secret]"),
    ("send Bearer abcdef-123 along", "send Bearer [token] along"),
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [secret]"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[token]"),
    ("broken off: eyJhbGciOiJIUzI1NiJ9eyJzdWIi", "broken off: [token]"),
    ("password=hunter2&x=1", "password=[secret]&x=1"),
    ('OPENAI_API_KEY="none-of-the-usual"', 'OPENAI_API_KEY="[secret]"'),
    ("'client_secret': 'abc_def'", "'client_secret': '[secret]'"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nbye", "[private-key]\nbye"),
    ("so: -----BEGIN PRIVATE KEY-----\nMIIE and no end", "so: [private-key]"),
]
KEPT = [
    "",
    "The quick brown fox jumps over 12 lazy dogs at 10:30 on 2026-11-25T10:20:30.123456Z.",
    "a bearer of bad news, the token: it is a key to it",
    "risk-management-systems and task-scheduler",
    "f(x) = x @ y, @decorator, user@localhost",
    "v1.2.3, 3.141592653589793, 1e10, 0.0001, 1_000_000",
    "4111 1111 1111 1112 and 1764112830123",  # no card by its last digit; a moment in milliseconds
    "DE89370400440532013001",  # no account by its check digits
    "018f4a9e-7c1b-7d3a-9c4e-1a2b3c4d5e6f",
    "line\nbreaks\tand \x00 \x1b[0m odd \U0001f600 ones",
    "The password must be: a b c",
]


@pytest.mark.parametrize(("text", "expected"), FOUND, ids=[str(number) for number in range(len(FOUND))])
def test_what_looks_like_one_is_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("text", KEPT)
def test_what_does_not_is_kept(text: str) -> None:
    assert redact(text) == text


def test_members_of_json_are_taken_one_by_one() -> None:
    said = {
        "to": ["a@b.example", {"number": 4111111111111111, "n": 7, "f": 0.5, "b": True, "nothing": None}],
        "password": "swordfish",
        "api_key": 12345,
        "a@b.example": 1,
        "c@d.example": 2,
        "escaped": "\u0073k-abcdef123456",
    }
    text = json.dumps(said).replace("sk-", "\\u0073k-")
    assert json.loads(redact_json(text)) == {
        "to": ["[email]", {"number": "[card]", "n": 7, "f": 0.5, "b": True, "nothing": None}],
        "password": "[secret]",
        "api_key": "[secret]",
        "[email]": 1,
        "[email] 2": 2,
        "escaped": "[key]",
    }


@pytest.mark.parametrize("text", ['{"a": "x@y.example', "[" * 100_000, "9" * 5000, "\ud800 x@y.example"])
def test_what_is_no_json_is_taken_as_text(text: str) -> None:
    assert redact_json(text) == redact(text)


def test_of_names_that_are_given_twice_none_stays() -> None:
    assert "sk-" not in redact_json('{"a": "sk-abcdef123456", "a": "b"}')


PIECES = [
    *(text for text, _ in FOUND),
    *("sk-", "hi_", "eyJ", "@", ".", "-", " ", "=", ":", '"', "'", "\\n", "[", "]", "+", "00", "0", "Bearer "),
    *("password", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "DE89", "4111", "[email]", "abc", "é"),
]
texts = some.lists(some.sampled_from(PIECES) | some.text(max_size=8)).map("".join)
jsons: Any = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | texts,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(texts)
def test_to_redact_again_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(
    texts, some.sampled_from(["zoe@else.example", "sk-zzzzzzzzz", "5555555555554444", "FR1420041010050500013M02606"])
)
def test_what_stands_alone_is_taken_out_wherever_it_stands(text: str, known: str) -> None:
    assert known not in redact(f"{text} {known} {text}")


@given(texts)
def test_our_own_keys_are_taken_out_even_of_the_middle_of_a_word(text: str) -> None:
    assert "_zzzzzzzzzzzzzzzz" not in redact(f"{text}hi_zzzzzzzzzzzzzzzz_{'Z' * 43}{text}")


@given(jsons)
def test_json_stays_json_of_the_same_shape(value: Any) -> None:
    once = redact_json(json.dumps(value))
    assert same_shape(value, json.loads(once))
    assert redact_json(once) == once


def same_shape(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return len(before) == len(after) and all(map(same_shape, before.values(), after.values()))
    if isinstance(before, list):
        return len(before) == len(after) and all(map(same_shape, before, after))
    return type(before) is type(after) or isinstance(after, str)


@given(some.integers(10**12, 10**19 - 1))
def test_one_digit_more_or_less_and_it_is_no_card(number: int) -> None:
    if is_card(str(number)):
        assert not is_card(str(number + 1 if number % 10 < 9 else number - 1))


REPEATED = [
    *(text for text, _ in FOUND),
    *("a", "1", "1 ", "4 ", "+1", "0", "00", "02", "@", "a@", "a.", "@a", "@a.", "-", ".", " ", "=", "a:", "d:", "e="),
    *("sk-", "sk-.", "sk-a ", "eyJ", "eyJ.", "eyJa", "hi_", "Bearer ", "bearer\t", "password", "password:", "AA11"),
    *("DE89 ", "AA11AA", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-----END ", "[", "(2", "(212) ", '"', "\\n"),
    *("4111 ", "4111111111111111", "4111-1111-1111-111", "[email]", "é", "\x00", "\U0001f600", "d:\u2003", "key='"),
]


def test_it_takes_time_in_proportion_whatever_the_text() -> None:
    # Eight times the text takes eight times the time; 64 times, if something went by the square.
    for piece in REPEATED:
        small, large = (seconds(piece * (size // len(piece))) for size in (1_000, 8_000))
        assert large < 30 * small + 2e-3, piece
    # A bound that a slow machine keeps: what is here takes a tenth of it.
    assert seconds("The quick brown fox jumps. " * 1000) < 27_000 * 1.5e-6


def seconds(text: str) -> float:
    """Of the processor, the least of three."""

    def once() -> float:
        begun = time.process_time()
        redact(text)
        return time.process_time() - begun

    return min(once() for _ in range(3))
