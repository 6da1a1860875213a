"""The greatest number that holds, found in few attempts."""

import math
from collections.abc import Callable


def greatest(holds: Callable[[int], bool], *, first: int, limit: int, within: float) -> int:
    """The greatest number of streams that holds, found by doubling (or halving) and then by bisecting.

    Args:
        holds: tries a number; what holds for one is taken to hold for all below it.
        first: what is tried first.
        limit: nothing above is tried.
        within: the answer times this, at most, is a number that did not hold, or is above the limit.

    Returns:
        0 where not even one holds.
    """
    low, high = 0, first
    while high <= limit and holds(high):
        low, high = high, high * 2
    if low == 0:
        low = high // 2
        while low and not holds(low):
            low, high = low // 2, low
    high = min(high, limit + 1)
    while low and high > max(low * within, low + 1):
        middle = max(low + 1, min(high - 1, round(math.sqrt(low * high))))
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
