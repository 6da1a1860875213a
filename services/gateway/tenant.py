"""Whom a worker is told it works for: a mark of the caller that says nothing of who that is."""

import dataclasses
import functools
import hashlib
import hmac
import pathlib
import secrets

from services.gateway import secret_file

_DIGITS = 32
_KEY_BYTES = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Tenants:
    """Makes marks under one key: gateways with the same key agree on them, those with another do not."""

    key: bytes = dataclasses.field(repr=False)

    @classmethod
    def of_file(cls, path: pathlib.Path) -> "Tenants":
        """With the key of that file, which is made, for its user alone, where there is none.

        Raises:
            OSError: it can be neither read nor made.
            ValueError: it does not hold a key, or others can read it.
        """
        key = secret_file.read(path, secrets.token_bytes(_KEY_BYTES))
        if len(key) != _KEY_BYTES:
            raise ValueError(f"{path} is not a key of {_KEY_BYTES} bytes; remove it, and a new one is made")
        return cls(key)

    def mark(self, caller: str, user: str) -> str:
        """The mark of a caller: the same for the same one and its label, and for no others; empty without both.

        Args:
            caller: the id of its key; in a mesh without keys, whatever it gives as a credential.
            user: the label that it gives to whom it works for.
        """
        if not caller and not user:
            return ""
        # With the length in front nothing can be moved from the one into the other.
        credential = caller.encode("utf-8", "replace")
        message = len(credential).to_bytes(8, "big") + credential + user.encode("utf-8", "replace")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:_DIGITS]

    def credential_mark(self, caller: str) -> str:
        """The mark of a caller whatever labels come with it: what it may use is shared by all of them."""
        return self.mark(caller, "")

    def secret(self, mark: str) -> bytes:
        """A key of the caller's own, of 32 bytes. What is hashed under it can be compared with nobody else's."""
        return _secret(self.key, mark)


@functools.lru_cache(maxsize=1024)
def _secret(key: bytes, mark: str) -> bytes:
    return hmac.digest(key, b"secret of " + mark.encode(), "sha256")
