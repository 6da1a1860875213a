"""W3C trace context: what travels with a request from process to process. https://www.w3.org/TR/trace-context-1/."""

import re

_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED = 1  # the only flag of version 00
# As OpenTelemetry's TraceIdRatioBased, so that all who know a trace's id and the share decide alike.
_RATIO_BITS = 64


def accepted(header: str) -> str:
    """A caller's `traceparent` as version 00, or "" for what counts as none."""
    found = _HEADER.fullmatch(header)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return ""
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return ""
    # Of a later version only these fields are known, and they are handed on as the version that we know.
    return f"00-{found['trace']}-{found['parent']}-{int(found['flags'], 16) & _SAMPLED:02x}"


def begun(randomness: bytes, *, share: float = 0.0) -> str:
    """The `traceparent` of a trace that begins here, of 24 random bytes; such a share of them is sampled."""
    drawn = int.from_bytes(randomness[16 - _RATIO_BITS // 8 : 16]) < share * 2**_RATIO_BITS
    digits = randomness.hex()
    return f"00-{digits[:32]}-{digits[32:48]}-{'01' if drawn else '00'}"


def child(parent: str, randomness: bytes) -> str:
    """The `traceparent` of a span below `parent`'s, well-formed as above, of 8 random bytes."""
    return f"{parent[:36]}{randomness.hex()}{parent[52:]}"


def trace_id(traceparent: str) -> str:
    """The trace's id, 32 hexadecimal digits; "" without a trace."""
    return traceparent[3:35]


def span_id(traceparent: str) -> str:
    """The id of the span that it names, 16 hexadecimal digits; "" without a trace."""
    return traceparent[36:52]


def sampled(traceparent: str) -> bool:
    """Whether spans of the trace are kept."""
    return traceparent.endswith("1")  # of what is well-formed only this digit differs


def sampled_trace_id(traceparent: str) -> str:
    """The id of a trace that is kept, as for an exemplar; "" of any other."""
    return trace_id(traceparent) if sampled(traceparent) else ""
