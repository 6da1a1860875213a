"""What of an attempt is charged. Pure."""

from typing import NamedTuple

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure

# We ended it while it ran: whoever served it had read the prompt by then, as far as anybody knows, and asks for that.
_ENDED_BY_US = (reasons.ERROR_REASON_CANCELLED, reasons.ERROR_REASON_DEADLINE_EXCEEDED)


class Charge(NamedTuple):
    """What an attempt is charged for.

    Attributes:
        usage: its tokens; None is none.
        timed: whether its time counts.
    """

    usage: generation.Usage | None
    timed: bool


def charged(
    usage: generation.Usage | None,
    failure: Failure | None,
    *,
    input_tokens: int,
    started: bool,
    begun: bool,
    finished: bool,
) -> Charge:
    """What an attempt is charged for that has ended.

    Args:
        usage: its tokens: as its provider told them at the end of a whole answer, else those of the answer as they
            were counted; None is none.
        failure: why it is not whole.
        input_tokens: tokens of the prompt, as estimated.
        started: whether its worker was asked.
        begun: whether there was any content.
        finished: whether the provider told its tokens.
    """
    if finished:
        return Charge(usage, timed=True)
    ended_by_us = failure is not None and failure.reason in _ENDED_BY_US
    if not begun and not (started and ended_by_us):
        return Charge(None, timed=False)  # refused, or failed before it was of any use: nobody asks for that
    answered = 0 if usage is None else usage.output_tokens
    return Charge(generation.Usage(input_tokens=input_tokens, output_tokens=answered, estimated=True), timed=True)
