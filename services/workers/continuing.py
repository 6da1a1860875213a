"""Going on with an answer that another replica began."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure


def cannot_continue(why: str) -> Failure:
    """The answer cannot be gone on with exactly as it would have been; nobody should try again."""
    return Failure(reasons.ERROR_REASON_UNSUPPORTED, why, field="continuation")
