"""The least of several, with chance between equals: a first one that always wins becomes a hot spot."""

import random
from collections.abc import Sequence

from services.router.target import Target


def least(targets: Sequence[Target], values: Sequence[float], rng: random.Random) -> Target:
    """The target with the lowest value; chance decides between equals."""
    lowest = min(values)
    found = [target for target, value in zip(targets, values, strict=True) if value == lowest]
    return found[0] if len(found) == 1 else found[rng.randrange(len(found))]
