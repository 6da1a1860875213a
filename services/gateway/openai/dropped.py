"""The header that tells which parameters were left out, in the caller's words."""

import urllib.parse
from collections.abc import Iterable

import orjson
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.errors import ParamOf, param_of

HEADER = "x-hybrid-dropped"
_OPTIONS = "provider_options_json"
# One of a caller's names, and all of them, escaped: proxies and clients take headers of 4 to 8 KiB.
_MAX_CHARACTERS = 64
_MAX_BYTES = 2048


def header(
    fields: Iterable[str], spec: generation.GenerationSpec | embedding.EmbeddingSpec, param_of: ParamOf = param_of
) -> tuple[tuple[str, str], ...]:
    """The header for fields of a spec that were dropped; none where nothing was."""
    names: list[str] = []
    for field in fields:
        if field == _OPTIONS:
            names += [param_of(f"{field}.{name}") for name in orjson.loads(spec.provider_options_json)]
        else:
            names.append(param_of(field))
    if not names:
        return ()
    # The names of provider options are whatever the caller wrote, and a header holds only some characters.
    safe = ",".join(urllib.parse.quote(name[:_MAX_CHARACTERS], safe="") for name in names)
    if len(safe) > _MAX_BYTES:
        safe = safe[: safe.rindex(",", 0, _MAX_BYTES)] + ",..."
    return ((HEADER, safe),)
