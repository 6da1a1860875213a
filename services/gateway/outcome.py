"""How requests and attempts end, in the ledger's words. Pure."""

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure

_SHED = (
    reasons.ERROR_REASON_FLEET_SATURATED,
    reasons.ERROR_REASON_WORKER_SATURATED,
    reasons.ERROR_REASON_RATE_LIMITED,
    reasons.ERROR_REASON_QUOTA_EXHAUSTED,
)
_WORDS = {
    number: value.name.removeprefix("OUTCOME_").lower()
    for number, value in ledger.Outcome.DESCRIPTOR.values_by_number.items()
}


WORDS = frozenset(_WORDS.values())


def outcome_of(failure: Failure | None, *, begun: bool) -> ledger.Outcome:
    """How a request or an attempt with this failure ended. What had content, or is paid for, was not shed."""
    if failure is None:
        return ledger.OUTCOME_SUCCESS
    if failure.reason == reasons.ERROR_REASON_CANCELLED:
        return ledger.OUTCOME_CANCELLED
    if failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED:
        return ledger.OUTCOME_DEADLINE
    if failure.reason in _SHED and not begun:
        return ledger.OUTCOME_SHED
    return ledger.OUTCOME_ERROR


def outcome_word(outcome: ledger.Outcome) -> str:
    """An outcome in logs and metrics."""
    return _WORDS[outcome]
