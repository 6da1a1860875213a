"""How tokens are drawn, as every part of the API that generates text asks for it."""

import re

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.fields import INT64, Fields, expected, refuse
from services.gateway.validate import MAX_STOPS

# A token id, as a key of an object. No vocabulary has a thousand million tokens.
TOKEN = re.compile("[0-9]{1,9}")
MEMBERS = frozenset(
    {"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop", "seed", "logit_bias"}
)


def read(fields: Fields, sampling: generation.SamplingParams) -> None:
    """Read the members of a body that say how tokens are drawn.

    Raises:
        Failure: SPEC_INVALID, with the path of the mistake.
    """
    if not fields.any_of(MEMBERS):
        return
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        number = fields.number(name)
        if number is not None:
            setattr(sampling, name, number)
    for name, integer in (("top_k", fields.integer("top_k")), ("seed", fields.integer("seed", INT64))):
        if integer is not None:
            setattr(sampling, name, integer)
    stop = _stop(fields)
    if stop:  # extending by nothing would still make `sampling` present
        sampling.stop.extend(stop)
    if fields.get("logit_bias") is not None:
        _logit_bias(fields.required_members("logit_bias"), sampling)


def _logit_bias(bias: Fields, sampling: generation.SamplingParams) -> None:
    for token in bias.names():
        if not TOKEN.fullmatch(token):
            refuse("logit_bias", "must map token ids, written as decimal integers, to numbers.")
        sampling.logit_bias[int(token)] = bias.number(token) or 0.0


def _stop(fields: Fields) -> list[str]:
    stop = fields.get("stop")
    if stop is None:
        return []
    if isinstance(stop, str):
        return [stop]
    if not isinstance(stop, list):
        refuse("stop", expected("a string or an array of strings", stop))
    return [
        item if isinstance(item, str) else refuse(path, expected("a string", item))
        for path, item in fields.items("stop", MAX_STOPS)
    ]
