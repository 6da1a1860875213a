"""Whom a worker is told it works for: a mark of the caller that says nothing of who that is."""

import contextlib
import dataclasses
import hashlib
import hmac
import os
import pathlib
import secrets

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
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path} can be read by others; `chmod 600` it")
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise ValueError(f"{path} is not a key of {_KEY_BYTES} bytes; remove it, and a new one is made")
        return cls(key)

    def mark(self, authorization: str, user: str) -> str:
        """The mark of a caller: the same for the same credential and label, and for no others; empty without both."""
        if not authorization and not user:
            return ""
        # With the length in front nothing can be moved from the one into the other.
        credential = authorization.encode("utf-8", "replace")
        message = len(credential).to_bytes(8, "big") + credential + user.encode("utf-8", "replace")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:_DIGITS]

    def credential_mark(self, authorization: str) -> str:
        """The mark of a credential whatever labels come with it: what it may use is shared by all of them."""
        return self.mark(authorization, "")

    def secret(self, mark: str) -> bytes:
        """A key of the caller's own, of 32 bytes. What is hashed under it can be compared with nobody else's."""
        return hmac.digest(self.key, b"secret of " + mark.encode(), "sha256")


def _make(path: pathlib.Path) -> None:
    """Put a new key there, whole or not at all. Of several processes that do so at once, one's key is everybody's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link does not replace what another process has put there meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
