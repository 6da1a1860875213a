"""Rendezvous hashing."""

import collections

from services.router.rendezvous import distance, identity

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
