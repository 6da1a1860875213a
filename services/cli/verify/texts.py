"""Features of plain text."""

from collections.abc import Sequence

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.asking import ASSISTANT, SYSTEM, USER, asking, conversing
from services.cli.verify.feature import Feature
from services.cli.verify.seen import Seen

_CHAT = (model.CAPABILITY_CHAT,)
_ENDS = (generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH)
_FEW_TOKENS = 8
_PIECES = 3
_LINE = "🚀 東京 🚀 東京 🚀 東京 🚀 東京"


def says(*words: str) -> "_Says":
    """A judge: the last answer has each of these words."""
    return _Says(words)


class _Says:
    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def __call__(self, seen: Sequence[Seen]) -> str:
        text = seen[-1].text()
        missing = [word for word in self._words if word.lower() not in text.lower()]
        return f"the answer has no {missing[0]!r}" if missing else well_ended(seen[-1:])


def well_ended(seen: Sequence[Seen]) -> str:
    """There is text in each answer, and it ended by itself or at the limit."""
    for one in seen:
        if not one.text():
            return "an answer without text"
        if not one.reasons or any(reason not in _ENDS for reason in one.reasons):
            return f"ended with {', '.join(map(generation.FinishReason.Name, one.reasons))}"
    return ""


def _in_pieces(seen: Sequence[Seen]) -> str:
    pieces = sum(bool(delta.text) for delta in seen[0].deltas)
    return f"came in {pieces} pieces" if pieces < _PIECES else well_ended(seen)


def _cut_at_limit(seen: Sequence[Seen]) -> str:
    (one,) = seen
    if one.reasons != [generation.FINISH_REASON_LENGTH]:
        return f"ended with {', '.join(map(generation.FinishReason.Name, one.reasons))}"
    used = one.usage.output_tokens
    return f"used {used} of {_FEW_TOKENS} tokens" if used > _FEW_TOKENS and not one.usage.estimated else ""


def _stopped(seen: Sequence[Seen]) -> str:
    free, stopped = seen
    if "Paris" not in free.text():
        return "does not know the capital of France"
    if "Paris" in stopped.text():
        return "the stop text is part of the answer"
    return well_ended(seen[:1]) or (
        "" if stopped.reasons == [generation.FINISH_REASON_STOP] else "did not end with STOP at the stop text"
    )


def _counted(seen: Sequence[Seen]) -> str:
    usage = seen[0].usage
    if usage.estimated:
        return "the provider tells no usage"
    if not usage.input_tokens or not usage.output_tokens:
        return f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    if usage.cached_tokens > usage.input_tokens or usage.reasoning_tokens > usage.output_tokens:
        return "more tokens in a part than in the whole"
    pieces = sum(delta.tokens for delta in seen[0].deltas)
    return f"{pieces} tokens in pieces, {usage.output_tokens} in all" if pieces > usage.output_tokens else ""


def _valid(seen: Sequence[Seen]) -> str:
    return "half a character" if "\ufffd" in seen[0].text() else says("東京", "🚀")(seen)


def freed(seen: Sequence[Seen]) -> str:
    """A judge: the provider was free in time when its caller had left."""
    return "" if seen[0].freed else "still running a second after the caller left"


_REPEAT = f"{_LINE}\n\nRepeat exactly this line."
_COUNT = "Count from 1 to 20, like this: " + " ".join(map(str, range(1, 21)))
# Long enough that nobody has said it a second later.
_LONG = "Repeat these numbers: " + " ".join(map(str, range(1, 101)))
_NAME = ((SYSTEM, "Your name is Zorro."), (USER, "What is your name?"))
_CAPITAL = "What is the capital of France?"
_AGAIN = ((USER, _CAPITAL), (ASSISTANT, "Paris."), (USER, "Repeat your answer."))
_STOP = generation.SamplingParams(stop=["Paris"])

FEATURES = (
    Feature("text", "Text", _CHAT, (asking("Say hello."),), well_ended),
    Feature("stream", "Streaming in pieces", _CHAT, (asking(_COUNT),), _in_pieces),
    Feature("system", "System message", _CHAT, (conversing(*_NAME),), says("zorro")),
    Feature("turns", "Several turns", _CHAT, (conversing(*_AGAIN),), says("paris")),
    Feature("unicode", "Characters of several bytes", _CHAT, (asking(_REPEAT),), _valid),
    Feature("limit", "Token limit ends with LENGTH", _CHAT, (asking(_COUNT, most=_FEW_TOKENS),), _cut_at_limit),
    Feature("usage", "Usage, parts within the whole", _CHAT, (asking("Say hello."),), _counted),
    Feature(
        "stop",
        "Stop texts",
        (*_CHAT, model.CAPABILITY_STOP),
        (asking(_CAPITAL), asking(_CAPITAL, sampling=_STOP)),
        _stopped,
    ),
    Feature("cancel", "Free within a second of the caller's leaving", _CHAT, (asking(_LONG),), freed, leaves=True),
)
