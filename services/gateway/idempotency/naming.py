"""What a caller calls a request, so that a second try of it is known as one."""

import hashlib
import re

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure

HEADER = "idempotency-key"
LONGEST = 255
NAME = re.compile(rf"[!-~]{{1,{LONGEST}}}", re.ASCII)


def name_of(said: str | bytes | None) -> str:
    """What the caller calls its request, by the header's value.

    Raises:
        Failure: SPEC_INVALID where the header holds no name.
    """
    if not isinstance(said, str) or not NAME.fullmatch(said):
        raise Failure(
            reasons.ERROR_REASON_SPEC_INVALID,
            f"The header `{HEADER}` must be 1 to {LONGEST} printable ASCII characters without spaces.",
            field=HEADER,
        )
    return said


def identity(*, caller: str, method: str, name: str) -> bytes:
    """What stands for the request of that name: names of other callers, and of other methods, are other names."""
    digest = hashlib.sha256()
    for part in (caller, method, name):
        encoded = part.encode("utf-8", "replace")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def fingerprint(request: bytes) -> bytes:
    """What stands for a request's content."""
    return hashlib.sha256(request).digest()


def home(identity: bytes, gateways: tuple[str, ...]) -> str:
    """The gateway, by name, that runs the request, the same for whichever is asked (rendezvous hashing)."""
    return min(gateways, key=lambda name: hashlib.sha256(identity + name.encode()).digest())


def reused() -> Failure:
    """A name stands for one request, and this is another one."""
    return Failure(
        reasons.ERROR_REASON_SPEC_INVALID,
        f"The header `{HEADER}` was sent before with another request; each request needs a name of its own.",
        field=HEADER,
    )
