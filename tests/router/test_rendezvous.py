"""Rendezvous hashing."""

import collections
import random

from services.router.rendezvous import distance, identity, nearest

_NAMES = [f"worker-{number}" for number in range(8)]


def _nearest(key: int, names: list[str]) -> str:
    return min(names, key=lambda name: distance(key, identity(name)))


def test_keys_spread_evenly() -> None:
    counts = collections.Counter(_nearest(key, _NAMES) for key in range(8000))
    assert all(850 < counts[name] < 1150 for name in _NAMES)


def test_only_the_keys_of_a_worker_that_goes_move() -> None:
    left = [name for name in _NAMES if name != "worker-3"]
    for key in range(1000):
        before = _nearest(key, _NAMES)
        assert before in ("worker-3", _nearest(key, left))


def test_an_identity_never_changes() -> None:
    assert identity("worker-0", "m") == 14265833618992282741


def test_the_two_nearest_are_spread_evenly_and_stay_when_a_third_goes() -> None:
    identities = [identity(name) for name in _NAMES]
    keys = [random.Random(seed).getrandbits(64) for seed in range(4000)]
    counts = collections.Counter(index for key in keys for index in nearest(key, identities))
    assert all(850 < counts[index] < 1150 for index in range(8))
    for key in keys[:500]:
        first, second = nearest(key, identities)
        assert first != second
        gone = next(index for index in range(8) if index not in (first, second))
        left = [one for index, one in enumerate(identities) if index != gone]
        assert [left[index] for index in nearest(key, left)] == [identities[first], identities[second]]


def test_the_only_one_is_both() -> None:
    assert nearest(7, [identity("worker-0")]) == (0, 0)
