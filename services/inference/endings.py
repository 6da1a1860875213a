"""How the choices of an answer ended, in words."""

from collections.abc import Iterable

from hybridinference.inference.v1 import generation_pb2 as generation

_WORDS = {value: name.removeprefix("FINISH_REASON_").lower() for name, value in generation.FinishReason.items()}


def ending_words(reasons: Iterable[generation.FinishReason]) -> list[str]:
    """A word for each choice: `stop`, `length`, …; `unspecified` for one that a newer peer knows."""
    return [_WORDS.get(one, "unspecified") for one in reasons]
