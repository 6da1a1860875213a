"""What routers can compare of prompts, and what they cannot."""

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.prefix import MAX_BLOCKS, prefix_hashes, session_hash
from tests.gateway.arbitrary import message

KEY = b"k" * 32
SYSTEM, USER, ASSISTANT = conversation.ROLE_SYSTEM, conversation.ROLE_USER, conversation.ROLE_ASSISTANT


def hashes(spec: generation.GenerationSpec, key: bytes = KEY) -> tuple[int, ...]:
    return prefix_hashes(spec, key, image_tokens=768)


def chat(*turns: tuple[conversation.Role, str], tools: tuple[str, ...] = ()) -> generation.GenerationSpec:
    spec = generation.GenerationSpec(model="m")
    for role, text in turns:
        spec.messages.add(role=role, parts=[conversation.Part(text=text)])
    for name in tools:
        spec.tools.add(name=name, description="d" * 300)
    return spec


def prompt(text: str) -> generation.GenerationSpec:
    return generation.GenerationSpec(model="m", prompt=generation.Prompt(text=text))


def tokens(*ids: int) -> generation.GenerationSpec:
    return generation.GenerationSpec(model="m", prompt=generation.Prompt(token_ids=embedding.TokenIds(ids=ids)))


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many hashes both begin with; none is equal behind the first that differs."""
    same = [a == b for a, b in zip(one, other, strict=False)]
    depth = same.index(False) if False in same else len(same)
    assert not any(same[depth:])
    return depth


def test_a_block_is_256_bytes_of_text_or_64_token_ids_and_only_whole_ones_count() -> None:
    assert [len(hashes(prompt("é" * size))) for size in (127, 128, 255, 256)] == [0, 1, 1, 2]
    assert [len(hashes(tokens(*range(size)))) for size in (63, 64, 128)] == [0, 1, 2]


def test_at_most_256_blocks_are_hashed_of_whatever_is_there() -> None:
    assert len(hashes(prompt("x" * 10_000_000))) == MAX_BLOCKS
    assert len(hashes(tokens(*[7] * 100_000))) == MAX_BLOCKS
    assert len(hashes(chat(*[(USER, "y" * 1000)] * 500))) == MAX_BLOCKS


@given(st.text(max_size=3000), st.text(max_size=600), st.text(max_size=600))
def test_prompts_share_as_many_blocks_as_they_begin_with_alike(begin: str, one: str, other: str) -> None:
    left, right = (begin + one).encode(), (begin + other).encode()
    alike = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    assert shared(hashes(prompt(begin + one)), hashes(prompt(begin + other))) == alike // 256


def test_a_conversation_that_goes_on_keeps_the_blocks_of_its_earlier_turns() -> None:
    turns = [(SYSTEM, "s" * 700), (USER, "u" * 900), (ASSISTANT, "a" * 800), (USER, "v" * 100)]
    earlier, later = hashes(chat(*turns[:2])), hashes(chat(*turns))
    assert shared(earlier, later) == len(earlier) == 6
    assert len(later) == 9


def test_what_the_system_says_comes_first_and_then_the_tools() -> None:
    plain = hashes(chat((SYSTEM, "s" * 1024), (USER, "u" * 1024)))
    tooled = hashes(chat((SYSTEM, "s" * 1024), (USER, "u" * 1024), tools=("t",)))
    assert shared(plain, tooled) == 4
    other = hashes(chat((SYSTEM, "s" * 1024), (USER, "w" * 1024), tools=("t",)))
    assert shared(tooled, other) == 5


def test_who_speaks_matters() -> None:
    assert shared(hashes(chat((USER, "x" * 600))), hashes(chat((ASSISTANT, "x" * 600)))) == 0


def test_hashes_of_two_callers_cannot_be_compared_and_those_of_one_always_can() -> None:
    made = prompt("x" * 2560)
    assert hashes(made) == hashes(made)
    assert not {*hashes(made)} & {*hashes(made, b"o" * 32)}


def test_without_a_key_nothing_is_told() -> None:
    assert hashes(prompt("x" * 1000), b"") == ()
    assert session_hash("s", b"") == 0


def test_a_picture_is_known_by_its_bytes_and_has_as_many_blocks_as_it_has_tokens() -> None:
    def seen(data: bytes) -> tuple[int, ...]:
        spec = chat((USER, "x" * 250))
        spec.messages[0].parts.add(image=conversation.Image(data=data))
        return hashes(spec)

    picture = bytes(range(256)) * 1000
    assert len(seen(picture)) == 12
    assert seen(picture) == seen(picture)
    assert shared(seen(picture), seen(picture + b"x")) == 0
    assert seen(picture) != seen(b"x" + picture[1:])


def test_files_are_known_by_bytes_address_or_id() -> None:
    files = [conversation.File(data=b"x" * 999), conversation.File(url="https://a/b" + "c" * 999)]
    files.append(conversation.File(id="x" * 999))
    found = set()
    for file in files:
        spec = chat((USER, "x"))
        spec.messages[0].parts.add(file=file)
        found.add(hashes(spec))
    assert len(found) == len(files)


@pytest.mark.parametrize("session", ["s", "x" * 256, "\u20ac"])
def test_a_session_has_a_hash_of_its_own_under_each_key(session: str) -> None:
    assert session_hash(session, KEY) == session_hash(session, KEY) != 0
    assert session_hash(session, KEY) not in (session_hash(session, b"o"), session_hash(session + "x", KEY))


def test_no_session_has_no_hash() -> None:
    assert session_hash("", KEY) == 0


@given(message(generation.GenerationSpec))
def test_every_spec_can_be_hashed(made: generation.GenerationSpec) -> None:
    assert len(hashes(made)) <= MAX_BLOCKS
