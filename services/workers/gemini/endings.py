"""How a candidate ended, in the contract's words."""

from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.workers.gemini import failures
from services.workers.vendor import failures as vendor_failures

_BLOCKED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"}
    | {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER"}
)
# CONTINUATION: the most tokens of one request, and the rest of the answer could be had with another.
_LENGTH = frozenset({"MAX_TOKENS", "CONTINUATION"})
_MALFORMED = {
    "MALFORMED_FUNCTION_CALL": "a tool call that its own server could not read",
    "UNEXPECTED_TOOL_CALL": "a call of a tool that it was not given",
    "TOO_MANY_TOOL_CALLS": "more tool calls than its own server takes",
    "MISSING_THOUGHT_SIGNATURE": "word that a thought signature is missing",
    "MALFORMED_RESPONSE": "an answer that its own server could not read",
    "NO_IMAGE": "word that a picture is missing, which was not asked for",
}


def ending(reason: object, *, called: bool) -> generation.FinishReason:
    """The reason for which a candidate ended; `called` says whether it called a tool, for which the API has no reason.

    Raises:
        Failure: what went wrong instead.
    """
    if reason == "STOP":
        return generation.FINISH_REASON_TOOL_CALLS if called else generation.FINISH_REASON_STOP
    if not isinstance(reason, str):
        raise _unknown()
    if reason in _LENGTH:
        return generation.FINISH_REASON_LENGTH
    if reason in _BLOCKED:
        return generation.FINISH_REASON_BLOCKED
    if reason == "OTHER":
        raise vendor_failures.unavailable("gave the answer up")
    if reason == "PUP_LIMITED_DISABLED":
        raise failures.account()
    if reason in _MALFORMED:
        raise vendor_failures.malformed(_MALFORMED[reason])
    raise _unknown()


def _unknown() -> Failure:
    return vendor_failures.malformed("an unknown reason for the end of the answer")
