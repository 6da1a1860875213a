"""What may go wrong, and what callers are to see of it: the rows that need somebody to fail."""

import dataclasses

from services.cli.verify.seen import Seen


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One row.

    Attributes:
        name: for programs.
        what: for people.
        reasons: one of them is what the attempt fails with.
        retry_after: seconds that the caller is told to wait; None where that does not matter.
        stage: of a deadline.
        begun: whether content has come before.
    """

    name: str
    what: str
    reasons: tuple[str, ...]
    retry_after: float | None = None
    stage: str = ""
    begun: bool = False


FAULTS = (
    Fault("rejected", "The vendor finds fault with the request", ("PROVIDER_REJECTED",)),
    Fault("credential", "Our key is refused", ("PROVIDER_CREDENTIAL",)),
    Fault("limited", "Our rate limit is used up: when to come back", ("PROVIDER_RATE_LIMITED",), retry_after=7),
    Fault("overloaded", "The vendor is overloaded: when to come back", ("PROVIDER_OVERLOADED",), retry_after=7),
    Fault("unavailable", "The vendor fails", ("PROVIDER_UNAVAILABLE",)),
    Fault("policy", "The vendor's content policy", ("CONTENT_POLICY",)),
    Fault("malformed", "Nonsense within a stream", ("PROVIDER_MALFORMED",), begun=True),
    Fault("wrong-type", "Something other than an answer", ("PROVIDER_MALFORMED",)),
    Fault("cut", "A cut stream", ("TRUNCATED", "PROVIDER_UNAVAILABLE"), begun=True),
    Fault("unfinished", "A stream without a finish reason", ("TRUNCATED",), begun=True),
    Fault("silent", "No first content in time", ("DEADLINE_EXCEEDED",), stage="first_token"),
    Fault("idle", "Silence in the middle", ("DEADLINE_EXCEEDED",), stage="idle", begun=True),
    Fault("endless", "An answer without end", ("DEADLINE_EXCEEDED",), stage="total", begun=True),
)


def judge(fault: Fault, seen: Seen, kind: str) -> str:
    """What is wrong with how a fault was told; nothing where it was told right."""
    failure = seen.failure
    if failure is None:
        return "taken for a whole answer"
    if failure.reason_name not in fault.reasons:
        return f"failed with {failure.reason_name}: {failure.message}"
    if any(event.HasField("finished") for event in seen.events):
        return "finished, and failed after that"
    if fault.begun != bool(seen.deltas):
        return f"{len(seen.deltas)} pieces before it"
    if fault.stage and failure.metadata.get("stage") != fault.stage:
        return f"the stage is {failure.metadata.get('stage')}"
    if not fault.stage and failure.metadata.get("provider") != kind:
        return f"the provider is {failure.metadata.get('provider')}"
    return "" if _close(failure.retry_after, fault.retry_after) else f"to come back after {failure.retry_after}"


def _close(told: float | None, meant: float | None) -> bool:
    return meant is None or (told is not None and meant - 1 < told <= meant)
