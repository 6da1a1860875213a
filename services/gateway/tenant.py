"""Whom a worker is told it works for: a mark of the caller that says nothing of who that is."""

import dataclasses
import hashlib
import hmac
import secrets

_DIGITS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Tenants:
    """Makes marks under one key. Gateways with keys of their own do not agree on them."""

    key: bytes = dataclasses.field(repr=False)

    @classmethod
    def random(cls) -> "Tenants":
        """With a key that is this process's alone."""
        return cls(secrets.token_bytes(32))

    def mark(self, authorization: str, user: str) -> str:
        """The mark of a caller: the same for the same credential and label, and for no others; empty without both."""
        if not authorization and not user:
            return ""
        # With the length in front nothing can be moved from the one into the other.
        credential = authorization.encode("utf-8", "replace")
        message = len(credential).to_bytes(8, "big") + credential + user.encode("utf-8", "replace")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:_DIGITS]
