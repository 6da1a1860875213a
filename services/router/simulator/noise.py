"""Chance that does not depend on what a policy does: every draw is a function of the seed and of what it is for."""

import statistics

_MASK = (1 << 64) - 1
_UNIT = 2.0**-53
_NORMAL = statistics.NormalDist()


def mix(*parts: int) -> int:
    """64 bits that look random, from integers. The finaliser of SplitMix64 (Steele et al., 2014) over each of them."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def uniform(*parts: int) -> float:
    """A number in (0, 1), from integers."""
    return ((mix(*parts) >> 11) + 0.5) * _UNIT


def normal(*parts: int) -> float:
    """A standard normal number, from integers."""
    return _NORMAL.inv_cdf(uniform(*parts))


class Topic:
    """What a draw is for, so that no two kinds of draw share their numbers."""

    THINNING = 1
    JITTER = 2
    TENANT = 3
    VENDOR_FIRST = 4
    VENDOR_SPEED = 5
    VENDOR_ERROR = 6
    FAULT = 7
    BLOCK = 8
    CONVERSATION = 9
    STRATEGY = 10
    GENERATOR = 11
    BOOTSTRAP = 12
    PROBES = 13
