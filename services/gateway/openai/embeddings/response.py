"""Vectors as OpenAI's JSON."""

import base64
from collections.abc import Iterator

import orjson
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.worker.v1 import worker_service_pb2 as worker

from services.chassis.failure import Failure

# Large answers go out in pieces: none is near a limit of the edge, and nobody else waits for the whole to be written.
_PIECE_BYTES = 256 << 10


def pieces(answer: worker.EmbedResponse, *, model: str, in_base64: bool) -> Iterator[bytes]:
    """The answer's JSON, in pieces.

    Raises:
        Failure: PROVIDER_MALFORMED, when a value is no number.
    """
    write = _base64 if in_base64 else _numbers
    ready, size = [b'{"object":"list","data":['], 0
    for index, vector in enumerate(answer.embeddings):
        ready.append(b'%s{"object":"embedding","index":%d,"embedding":' % (b"," if index else b"", index))
        ready.append(write(vector))
        ready.append(b"}")
        size += len(ready[-2])
        if size >= _PIECE_BYTES:
            yield b"".join(ready)
            ready, size = [], 0
    tokens = answer.usage.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    ready.append(b'],"model":%s,"usage":%s}' % (orjson.dumps(model), orjson.dumps(usage)))
    yield b"".join(ready)


def _numbers(vector: embedding.Embedding) -> bytes:
    # 32-bit floats as the doubles they are, like OpenAI's own: no shorter text would be read back as the same double.
    text = orjson.dumps(list(vector.values))
    if b"null" in text:  # what JSON has for NaN and infinity
        raise Failure(
            reasons.ERROR_REASON_PROVIDER_MALFORMED, "The provider gave a vector with a value that is no number."
        )
    return text


def _base64(vector: embedding.Embedding) -> bytes:
    # Little-endian 32-bit floats are how protobuf packs them: fifteen times as fast as going through the values.
    vector.DiscardUnknownFields()
    return b'"%s"' % base64.b64encode(vector.SerializeToString()[-4 * len(vector.values) :])
