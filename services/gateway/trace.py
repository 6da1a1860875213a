"""W3C trace context: the caller's, or one that begins here."""

import re

_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED = 1  # the only flag of version 00


def accepted(header: str) -> str:
    """A caller's `traceparent` as version 00, or "" for what counts as none."""
    found = _HEADER.fullmatch(header)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return ""
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return ""
    # Of a later version only these fields are known, and they are handed on as the version that we know.
    return f"00-{found['trace']}-{found['parent']}-{int(found['flags'], 16) & _SAMPLED:02x}"


def begun(randomness: bytes) -> str:
    """The `traceparent` of a trace that begins here, of 24 random bytes. Not sampled: that is for its caller to ask."""
    return f"00-{randomness[:16].hex()}-{randomness[16:24].hex()}-00"


def trace_id(traceparent: str) -> str:
    """The trace's id, 32 hexadecimal digits; "" without a trace."""
    return traceparent[3:35]
