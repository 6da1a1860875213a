"""Keyed hashes of a prompt's leading blocks: who has the key can tell equal beginnings, nobody can tell the text."""

import array
import hashlib
import struct
from collections.abc import Iterator

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

# About what 64 tokens take, of text as of token ids.
BLOCK_TOKENS = 64
MAX_BLOCKS = 256

_BYTES_PER_TOKEN = 4
_BLOCK_BYTES = BLOCK_TOKENS * _BYTES_PER_TOKEN
_LONGEST = MAX_BLOCKS * _BLOCK_BYTES
# Of a picture or a file so much is looked at, from each end: it may be 30 MB, and nobody else is served meanwhile.
_LOOKED_AT = 1 << 15
_DIGEST_BYTES = 16
# Begin a message, a part of it, and a member of that. Where one ends does not show before it: what two prompts begin
# with alike has the same hashes, whatever comes after.
_MESSAGE, _PART, _MEMBER = b"\x1d", b"\x1e", b"\x1f"


def prefix_hashes(spec: generation.GenerationSpec, key: bytes, *, image_tokens: int) -> tuple[int, ...]:
    """Hashes of 64 bits of the prompt's whole leading blocks, each of its block and all before it.

    Args:
        spec: what is to be generated.
        key: of the caller's own, at most 64 bytes. Without one nothing is hashed: anybody could try out texts.
        image_tokens: tokens that a picture counts for.
    """
    if not key:
        return ()
    prompt = _prompt(spec, image_tokens)
    if len(prompt) < _BLOCK_BYTES:
        return ()
    running = hashlib.blake2b(digest_size=8, key=key, person=b"prefix")
    digests = []
    for end in range(_BLOCK_BYTES, len(prompt) + 1, _BLOCK_BYTES):
        running.update(prompt[end - _BLOCK_BYTES : end])
        digests.append(running.digest())
    return struct.unpack(f"<{len(digests)}Q", b"".join(digests))


def session_hash(session: str, key: bytes) -> int:
    """A hash of 64 bits of a conversation's name, never 0; 0 without a name or a key."""
    if not session or not key:
        return 0
    digest = hashlib.blake2b(session.encode("utf-8", "replace"), digest_size=8, key=key, person=b"session").digest()
    return int.from_bytes(digest, "little") or 1


def _prompt(spec: generation.GenerationSpec, image_tokens: int) -> bytes:
    """The beginning of what the model is given, in an order that all prompts have."""
    if spec.HasField("prompt"):
        if spec.prompt.HasField("token_ids"):
            return array.array("I", spec.prompt.token_ids.ids[: MAX_BLOCKS * BLOCK_TOKENS]).tobytes()
        return _bytes(spec.prompt.text)[:_LONGEST]
    whole = bytearray()
    for piece in _pieces(spec, image_tokens):
        whole += piece
        if len(whole) >= _LONGEST:
            break
    return bytes(whole[:_LONGEST])


def _pieces(spec: generation.GenerationSpec, image_tokens: int) -> Iterator[bytes]:
    """Pieces as most chat templates have them: what the system says, then the tools, then the conversation."""
    at = 0
    for message in spec.messages:
        if message.role != conversation.ROLE_SYSTEM:
            break
        at += 1
        yield from _message(message, image_tokens)
    for tool in spec.tools:
        yield _MESSAGE + _MEMBER.join((_bytes(tool.name), _bytes(tool.description), _bytes(tool.parameters_json)))
    for message in spec.messages[at:] if at else spec.messages:
        yield from _message(message, image_tokens)


def _message(message: conversation.Message, image_tokens: int) -> Iterator[bytes]:
    yield _MESSAGE + bytes((message.role & 0xFF,)) + _bytes(message.name)
    for part in message.parts:
        kind = part.WhichOneof("content")
        if kind == "text":
            yield _PART + _bytes(part.text)
        elif kind == "image":
            yield _PART + _media(part.image, image_tokens * _BYTES_PER_TOKEN)
        elif kind == "file":
            yield _PART + _media(part.file, part.ByteSize())
        elif kind == "tool_call":
            yield _PART + _MEMBER.join((_bytes(part.tool_call.name), _bytes(part.tool_call.arguments_json)))
        elif kind == "tool_result":
            yield _PART + _bytes(part.tool_result.text)
        elif kind == "reasoning":
            yield _PART + _bytes(part.reasoning.text)
        elif kind == "refusal":
            yield _PART + _bytes(part.refusal)


def _media(media: conversation.Image | conversation.File, size: int) -> bytes:
    """What stands for a picture or a file: its digest, repeated, so that it has as many blocks as it has tokens."""
    seen = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    data = media.data  # a copy, each time
    if data:
        seen.update(len(data).to_bytes(8, "little"))
        seen.update(data[:_LOOKED_AT])
        seen.update(data[-_LOOKED_AT:])
    else:
        seen.update(_bytes(media.url or (media.id if isinstance(media, conversation.File) else "")))
    size = min(size, _LONGEST)
    return (seen.digest() * (size // _DIGEST_BYTES + 1))[:size]


def _bytes(text: str) -> bytes:
    """As much of a text as can count."""
    return text[:_LONGEST].encode("utf-8", "replace")
