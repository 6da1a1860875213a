"""POST /v1/embeddings: the body, as a spec."""

import dataclasses

from hybridinference.inference.v1 import embedding_pb2 as embedding

from services.gateway.openai.fields import Fields, json_body, json_text
from services.gateway.openai.inputs import inputs
from services.gateway.validate import MAX_INPUTS

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
    for item in inputs(fields.require("input"), "input", MAX_INPUTS):
        if isinstance(item, str):
            spec.inputs.add(text=item)
        else:
            spec.inputs.add(token_ids=embedding.TokenIds(ids=item))
    dimensions = fields.integer("dimensions")
    if dimensions is not None:
        spec.dimensions = dimensions
    spec.user = fields.text("user") or ""
    rest = {name: fields.get(name) for name in fields.names() if name not in _MAPPED}
    if rest:
        spec.provider_options_json = json_text(rest, "")
    return EmbeddingRequest(spec, fields.choice("encoding_format", ENCODINGS) == "base64")
