"""Features of how tokens are drawn, and what is told of them."""

import math
from collections.abc import Sequence

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.asking import asking
from services.cli.verify.feature import Feature
from services.cli.verify.seen import Seen
from services.cli.verify.texts import well_ended

_CHAT = model.CAPABILITY_CHAT
ALTERNATIVES = 2
_CHOICES = 2


def _alike(seen: Sequence[Seen]) -> str:
    first, second = seen
    if first.text() == second.text():
        return well_ended(seen)
    # OpenAI promises the same only from the same configuration of its servers.
    if first.finished.fingerprint != second.finished.fingerprint:
        return well_ended(seen)
    return "asked twice, answered differently"


def probable(seen: Sequence[Seen]) -> str:
    """A judge: each token of the answer has its log probability, and alternatives best first."""
    (one,) = seen
    if not one.logprobs:
        return "no log probabilities"
    for position in one.logprobs:
        if not -math.inf < position.logprob <= 0:
            return f"a log probability of {position.logprob}"
        if not 1 <= len(position.top) <= ALTERNATIVES:
            return f"{len(position.top)} alternatives"
        if [top.logprob for top in position.top] != sorted((top.logprob for top in position.top), reverse=True):
            return "alternatives that are not best first"
    told = b"".join(position.token_bytes for position in one.logprobs)
    # Tokens that end the answer may be told without being part of it.
    return "" if one.text().encode() in told else "tokens that are not those of the answer"


def _several(seen: Sequence[Seen]) -> str:
    (one,) = seen
    if len(one.reasons) != _CHOICES:
        return f"{len(one.reasons)} choices"
    return "a choice without text" if not all(map(one.text, range(_CHOICES))) else well_ended(seen)


_COLOUR = "Name a colour, in one word."
_HELLO = "Say hello."
_SEED = generation.SamplingParams(seed=7, temperature=1.0)
_COLD = generation.SamplingParams(temperature=0.0)
_PENALTIES = generation.SamplingParams(frequency_penalty=0.5, presence_penalty=0.5)
_BIAS = generation.SamplingParams(logit_bias={100: -100.0})
_TOP_K = generation.SamplingParams(top_k=5)

FEATURES = (
    Feature("temperature-0", "Temperature 0", (_CHAT,), (asking(_COLOUR, sampling=_COLD),) * 2, _alike),
    Feature("seed", "Seed", (_CHAT, model.CAPABILITY_SEED), (asking(_COLOUR, sampling=_SEED),) * 2, _alike),
    Feature(
        "penalties",
        "Penalties",
        (_CHAT, model.CAPABILITY_PENALTIES),
        (asking(_HELLO, sampling=_PENALTIES),),
        well_ended,
    ),
    Feature("top-k", "top_k", (_CHAT, model.CAPABILITY_TOP_K), (asking(_HELLO, sampling=_TOP_K),), well_ended),
    Feature(
        "logit-bias", "Logit bias", (_CHAT, model.CAPABILITY_LOGIT_BIAS), (asking(_HELLO, sampling=_BIAS),), well_ended
    ),
    Feature(
        "logprobs",
        "Log probabilities",
        (_CHAT, model.CAPABILITY_LOGPROBS),
        (asking(_HELLO, logprobs=generation.Logprobs(top=ALTERNATIVES)),),
        probable,
    ),
    Feature(
        "choices", "Two choices", (_CHAT, model.CAPABILITY_CHOICES), (asking(_COLOUR, choices=_CHOICES),), _several
    ),
)
