"""What was said as a hash: equal for the same words of the same key, and saying nothing else."""

import dataclasses
import hashlib
import hmac


@dataclasses.dataclass(frozen=True, slots=True)
class Hasher:
    """Hashes under a key of the gateways', a derived one for each key of callers: hashes of two cannot be compared."""

    key: bytes = dataclasses.field(repr=False)

    def digest(self, key_id: str, data: bytes) -> str:
        """HMAC-SHA256, as `hmac-sha256:` and 64 hexadecimal digits."""
        own = hmac.digest(self.key, b"content of " + key_id.encode(), hashlib.sha256)
        return f"hmac-sha256:{hmac.new(own, data, hashlib.sha256).hexdigest()}"


def plain(data: bytes) -> str:
    """SHA-256 under no key, which whoever has the data can make again."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
