"""What callers prove themselves with: `hi_<id>_<secret>`. Its form is known before anybody is asked about it."""

import base64
import dataclasses
import hmac
import re

ID = re.compile(r"[a-z0-9]{16}", re.ASCII)
# Of the randomness that a credential is made of. The id only tells keys apart; the secret cannot be guessed.
ID_BYTES = 10
SECRET_BYTES = 32

_FORM = re.compile(r"hi_([a-z0-9]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_SCHEME = "bearer"


@dataclasses.dataclass(frozen=True, slots=True)
class Credential:
    """A key's id, and what proves it.

    Attributes:
        key_id: 16 of a to z and 0 to 9; public.
        secret: 256 bits, base64url without padding: 43 characters. Never stored, never logged.
    """

    key_id: str
    secret: str = dataclasses.field(repr=False)

    def text(self) -> str:
        """What its owner is given, once."""
        return f"hi_{self.key_id}_{self.secret}"


def make(randomness: bytes, *, key_id: str = "") -> Credential:
    """A new credential.

    Args:
        randomness: `ID_BYTES + SECRET_BYTES` of it, for nothing else.
        key_id: of the key that gets another secret; "" is a new key.

    Raises:
        ValueError: it is not as much, or that is no key's id.
    """
    if len(randomness) != ID_BYTES + SECRET_BYTES:
        raise ValueError(f"a credential is made of {ID_BYTES + SECRET_BYTES} random bytes")
    if key_id and not ID.fullmatch(key_id):
        raise ValueError("that is no key's id")
    made = base64.b32encode(randomness[:ID_BYTES]).decode().lower()
    secret = base64.urlsafe_b64encode(randomness[ID_BYTES:]).decode().rstrip("=")
    return Credential(key_id or made, secret)


def parse(text: str) -> Credential | None:
    """The credential that a text is; None where it has not the form of one."""
    found = _FORM.fullmatch(text)
    return Credential(found[1], found[2]) if found else None


def of_header(value: str) -> Credential | None:
    """The credential in an `authorization` header, `Bearer hi_…`; None where there is none of that form."""
    scheme, _, text = value.partition(" ")
    return parse(text.strip(" ")) if scheme.lower() == _SCHEME else None


def mac(pepper: bytes, credential: Credential) -> bytes:
    """What is stored instead of the secret: HMAC-SHA256 (RFC 2104) of the whole credential, 32 bytes.

    The id is part of what is signed: what is stored of one key proves nothing of another.
    """
    return hmac.digest(pepper, credential.text().encode("ascii"), "sha256")
