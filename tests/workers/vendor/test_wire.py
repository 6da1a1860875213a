"""JSON of the wire, read even where it is not quite valid."""

import math

from services.workers.openai.failures import from_response
from services.workers.vendor.wire import loads


def test_half_characters_and_nan_are_read_and_nonsense_is_none() -> None:
    assert loads(b'{"a": "\\ud83d"}') == {"a": "\ud83d"}
    read = loads(b"[NaN]")
    assert isinstance(read, list)
    assert math.isnan(read[0])
    for nonsense in (b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000):
        assert loads(nonsense) is None


def test_an_error_whose_words_were_cut_within_a_character_is_understood() -> None:
    body = b'{"error": {"message": "too much \\ud83d", "code": "context_length_exceeded"}}'
    assert from_response(400, {}, body, keys=(), now=0).reason_name == "CONTEXT_TOO_LONG"
