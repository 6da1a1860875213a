"""The headers of an answer: what it took, and who gave it."""

import functools
import string
import urllib.parse

from hybridinference.gateway.v1 import inference_service_pb2 as inference

from services.chassis.deadline import to_seconds
from services.gateway.pricing.told import cost_headers

Headers = tuple[tuple[str, str], ...]

# A header's value is printable ASCII; a percent sign is escaped so that the rest can be read back.
_SAFE = string.punctuation.replace("%", "") + " "
_LONGEST = 256


def of_call(*, traceparent: str, seconds: float) -> Headers:
    """Headers of every answer. `seconds` have passed until its first byte."""
    return (("openai-processing-ms", _milliseconds(seconds)), ("traceparent", traceparent))


def of_route(route: inference.Route, provider_model: str) -> Headers:
    """Who serves a request, as far as that is known; none before it is placed."""
    if not route.attempts:
        return ()
    headers: Headers = (
        ("x-hybrid-provider", _fit(route.provider)),
        ("x-hybrid-model", _fit(provider_model)),
        ("x-hybrid-attempts", str(route.attempts)),
        ("x-hybrid-queue-ms", _milliseconds(to_seconds(route.queue_time))),
    )
    if route.worker:
        headers = (*headers, ("x-hybrid-worker", _fit(route.worker)))
    return (*headers, *cost_headers(route))


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1e3))


@functools.lru_cache(maxsize=1024)  # of providers, models and workers there are few
def _fit(name: str) -> str:
    return urllib.parse.quote(name[:_LONGEST], safe=_SAFE)
