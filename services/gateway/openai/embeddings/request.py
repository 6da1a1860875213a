"""POST /v1/embeddings: the body, as a spec."""

import dataclasses
from collections.abc import Iterator
from typing import NoReturn

from hybridinference.inference.v1 import embedding_pb2 as embedding

from services.gateway.openai.fields import UINT32, Fields, expected, json_body, json_text, refuse

ENCODINGS = ("float", "base64")
# Said and understood: these become the spec.
_MAPPED = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What a client asks for, and whether it wants the vectors in base64."""

    spec: embedding.EmbeddingSpec
    in_base64: bool


def parse_embedding(body: bytes) -> EmbeddingRequest:
    """Read the body of an embedding request.

    Fields that are not known become the spec's provider options; explicit nulls count as absent.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    fields = Fields(json_body(body), "")
    spec = embedding.EmbeddingSpec(model=fields.required_text("model"))
    spec.inputs.extend(_inputs(fields.require("input")))
    dimensions = fields.integer("dimensions")
    if dimensions is not None:
        spec.dimensions = dimensions
    spec.user = fields.text("user") or ""
    rest = {name: fields.get(name) for name in fields.names() if name not in _MAPPED}
    if rest:
        spec.provider_options_json = json_text(rest, "")
    return EmbeddingRequest(spec, fields.choice("encoding_format", ENCODINGS) == "base64")


def _inputs(value: object) -> Iterator[embedding.EmbeddingInput]:
    """A text, several, the token ids of one, or those of several."""
    if isinstance(value, str):
        yield _text(value, "input")
        return
    if not isinstance(value, list):
        refuse("input", expected("a string, an array of strings, or one of token ids", value))
    if not value:
        refuse("input", "must not be empty.")
    if isinstance(value[0], int | float):
        yield _tokens(value, "input")
        return
    for index, item in enumerate(value):
        path = f"input[{index}]"
        if isinstance(item, str):
            yield _text(item, path)
        elif isinstance(item, list):
            yield _tokens(item, path)
        else:
            _wrong(path, "a string or an array of token ids", item)


def _text(text: str, path: str) -> embedding.EmbeddingInput:
    if not text:
        refuse(path, "must not be an empty string.")
    return embedding.EmbeddingInput(text=text)


def _tokens(ids: list[object], path: str) -> embedding.EmbeddingInput:
    if not ids:
        refuse(path, "must not be empty.")
    # Every type and both ends at once, since there may be a million of them; one by one only to find the mistake.
    sound = set(map(type, ids)) == {int} and UINT32[0] <= min(ids) and max(ids) <= UINT32[1]  # type: ignore[type-var,operator]
    whole = ids if sound else [_token(token, f"{path}[{index}]") for index, token in enumerate(ids)]
    return embedding.EmbeddingInput(token_ids=embedding.TokenIds(ids=whole))  # type: ignore[arg-type]


def _token(token: object, path: str) -> int:
    # A bool is an int, too, but no token; 2.0 is an integer to JSON.
    if not (type(token) is int or (isinstance(token, float) and token.is_integer())):
        _wrong(path, "a token id, an integer", token)
    if not UINT32[0] <= token <= UINT32[1]:
        refuse(path, f"must be between {UINT32[0]} and {UINT32[1]}.")
    return int(token)


def _wrong(path: str, kind: str, value: object) -> NoReturn:
    refuse(path, expected(kind, value))
