"""The bytes of single tokens."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from services.workers.vllm import vocabulary
from services.workers.vllm.vocabulary import Vocabulary, byte_level, sentence_piece

CHARACTERS = {byte: character for character, byte in vocabulary._BYTES.items()}


@given(st.binary(max_size=8))
def test_a_byte_level_piece_stands_for_any_bytes(data: bytes) -> None:
    assert byte_level("".join(CHARACTERS[byte] for byte in data)) == data


def test_known_pieces_of_both_kinds() -> None:
    assert byte_level("ĠParis") == b" Paris"
    assert byte_level("ðŁ") == b"\xf0\x9f"
    assert byte_level("<|im_end|>") == b"<|im_end|>"
    assert byte_level("日") == "日".encode()
    assert sentence_piece("▁Paris") == b" Paris"
    assert sentence_piece("<0xE2>") == b"\xe2"
    assert sentence_piece("é") == "é".encode()


class ByteLevel:
    """The tokenizers library's decoder; its repr names it."""

    def __repr__(self) -> str:
        return "ByteLevel(add_prefix_space=True)"


def test_the_tokenizer_decides_how_its_pieces_are_read() -> None:
    pieces = {3: "é", 4: None}
    plain = SimpleNamespace(convert_ids_to_tokens=pieces.get)
    coded = SimpleNamespace(convert_ids_to_tokens=pieces.get, backend_tokenizer=SimpleNamespace(decoder=ByteLevel()))
    assert Vocabulary(plain).token_bytes(3) == "é".encode()
    assert Vocabulary(coded).token_bytes(3) == b"\xe9"
    assert Vocabulary(coded).token_bytes(4) == b""


def test_a_token_is_looked_up_once() -> None:
    asked: list[int] = []
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda token: asked.append(token) or "x")
    words = Vocabulary(tokenizer)
    assert [words.token_bytes(1), words.token_bytes(1)] == [b"x", b"x"]
    assert asked == [1]
