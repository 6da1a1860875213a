"""One piece of a stream in OpenAI's form, as long as the mesh's own."""

import json

_HEAD = (
    b'data: {"id":"chatcmpl-019a5c1e7f4b7c3e9d2a6b8c0d1e2f3a","object":"chat.completion.chunk","created":1750000000,'
    b'"model":"echo","choices":[{"index":0,"delta":{"content":'
)
_TAIL = b'},"logprobs":null,"finish_reason":null}]}\n\n'


def piece(text: str) -> bytes:
    """The bytes of one piece of text."""
    return _HEAD + json.dumps(text).encode() + _TAIL
