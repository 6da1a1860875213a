"""Features of prompts that are gone on with as they are, without a conversation around them."""

from collections.abc import Sequence
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.feature import Build, Feature
from services.cli.verify.sampling import ALTERNATIVES, probable
from services.cli.verify.seen import Seen
from services.cli.verify.texts import freed, well_ended

_COMPLETE = model.CAPABILITY_COMPLETIONS
_COUNT = "Count: 1 2 3 4 5 6 7 8 9 10 11 12"
# Ids that every vocabulary has.
_IDS = tuple(range(100, 112))
# Tokens of the count: one for each digit and each space between, and some that begin a text.
_MOST_INPUT = 30
_MOST_TOKENS = 24
_LONG_TOKENS = 256


def _going_on(text: str = _COUNT, *, ids: Sequence[int] = (), most: int = _MOST_TOKENS, **fields: Any) -> Build:
    def build(model_name: str, _: Sequence[Seen]) -> generation.GenerationSpec:
        spec = generation.GenerationSpec(model=model_name, max_output_tokens=most, **fields)
        if ids:
            spec.prompt.token_ids.ids.extend(ids)
        else:
            spec.prompt.text = text
        return spec

    return build


def _bare(seen: Sequence[Seen]) -> str:
    """Nothing was put around the prompt."""
    usage = seen[0].usage
    if usage.input_tokens > _MOST_INPUT and not usage.estimated:
        return f"took {usage.input_tokens} tokens for a prompt of twelve numbers"
    return well_ended(seen)


def _counts(seen: Sequence[Seen]) -> str:
    return _bare(seen) if any(map(str.isdigit, seen[0].text())) else "does not go on with numbers"


FEATURES = (
    Feature("prompt", "Going on with a prompt as it is", (_COMPLETE,), (_going_on(),), _counts),
    Feature(
        "prompt-tokens",
        "With one of token ids",
        (_COMPLETE, model.CAPABILITY_TOKEN_INPUTS),
        (_going_on(ids=_IDS),),
        _bare,
    ),
    Feature(
        "prompt-logprobs",
        "With log probabilities",
        (_COMPLETE, model.CAPABILITY_LOGPROBS),
        (_going_on(logprobs=generation.Logprobs(top=ALTERNATIVES)),),
        probable,
    ),
    Feature(
        "prompt-cancel",
        "Free within a second of the caller's leaving it",
        (_COMPLETE,),
        (_going_on(f"Repeat these numbers: {' '.join(map(str, range(1, 101)))}", most=_LONG_TOKENS),),
        freed,
        leaves=True,
    ),
)
