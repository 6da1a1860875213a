"""POST /v1/completions, from the body to the last byte of the answer."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.arrival import Arrival
from services.gateway.openai.reply import Reply
from services.gateway.relay import Relay


async def answer(body: bytes, arrival: Arrival, relay: Relay, reply: Reply) -> None:
    """Answer a request for a completion.

    Raises:
        Failure: why there is no answer, or no whole one.
    """
    del body, arrival, relay, reply
    raise Failure(reasons.ERROR_REASON_UNIMPLEMENTED, "This part of the API is not there yet.")
