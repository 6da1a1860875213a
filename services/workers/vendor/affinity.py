"""With which of several keys a caller begins, and which come after it."""

import hashlib
from collections.abc import Sequence


def order(tenant: str, labels: Sequence[str]) -> list[int]:
    """The numbers of the keys in this caller's order, which stays the same.

    Rendezvous hashing (Thaler and Ravishankar, 1998): each pair of caller and key has a weight, and the heaviest comes
    first. A key that is taken away moves its own callers alone, each to what was the next in its order.

    Args:
        tenant: stands for the caller.
        labels: what each key is known by, whatever its place. Not the keys themselves.
    """
    weights = [_weight(tenant, label) for label in labels]
    return sorted(range(len(labels)), key=weights.__getitem__, reverse=True)


def label(key: str) -> str:
    """What a key is known by: says nothing of it."""
    return hashlib.blake2b(key.encode(), digest_size=16, person=b"vendor key").hexdigest()


def _weight(tenant: str, label: str) -> bytes:
    # The lengths keep `a` + `bc` and `ab` + `c` apart.
    return hashlib.blake2b(f"{len(tenant)}:{tenant}{label}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
