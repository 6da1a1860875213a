"""Rendezvous hashing: who of many stands nearest to a key, the same for every router and with little change as they go.

Of all workers each key prefers the one with the smallest distance; when that one is away, the one with the next
smallest: nobody else's keys move.
"""

import hashlib
from collections.abc import Sequence

_MASK = (1 << 64) - 1
# Odd constants of SplitMix64's finaliser, which spreads every bit over all others.
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SCALE = 2.0**-64


def identity(*names: str) -> int:
    """64 bits that stand for these names."""
    return int.from_bytes(hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest(), "big")


def distance(key: int, identity: int) -> float:
    """How far a key is from whom the identity stands for, from 0 to below 1; as good as random."""
    mixed = (key ^ identity) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _MASK
    return (mixed ^ (mixed >> 31)) * _SCALE


def nearest(key: int, identities: Sequence[int]) -> tuple[int, int]:
    """Indices of the nearest and the second nearest to a key; twice the same where there is only one.

    Distances are of another kind than `distance`: one multiplication mixes well enough what is random in all its bits.
    """
    distances = [(key ^ identity) * _FIRST & _MASK for identity in identities]
    first = distances.index(min(distances))
    if len(distances) == 1:
        return first, first
    distances[first] = _MASK + 1
    return first, distances.index(min(distances))
