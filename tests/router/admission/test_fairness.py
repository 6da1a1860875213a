"""Shares between keys, as arXiv 2401.00588 promises them."""

import itertools
import random

import pytest

from services.router.admission.fairness import Accounts
from tests.router.admission.rush import CRITICAL, SHEDDABLE, Job, Rush

_READ, _WRITTEN, _PLACES = 100, 50, 4
# 2·max(w_p·L, w_q·M): the longest prompt, and the tokens of a full batch.
_BOUND = 2 * max(1 * _READ, 2 * _PLACES * (_READ + _WRITTEN))


def _backlogged(weights: dict[str, float], seed: int, *, greed: int = 20) -> tuple[Rush, list[dict[str, float]]]:
    """Keys that always have something waiting, `a` twenty times as much; and what each had been served at each end."""
    rush, chance = Rush(places=_PLACES, max_waiting=10_000), random.Random(seed)
    served, history = dict.fromkeys(weights, 0.0), []

    def ask(key: str) -> None:
        read, written = chance.randint(1, _READ), chance.randint(1, _WRITTEN)
        rush.ask(key, read=read, written=written, seconds=0.01 * written, weight=weights[key])

    def ended(job: Job) -> None:
        served[job.key] += (job.read + 2 * job.written) / (weights[job.key] or 1.0)
        history.append(dict(served))
        ask(job.key)

    for key in weights:
        for _ in range(5 * (greed if key == "a" else 1)):
            ask(key)
    rush.on_end = ended
    rush.run(rush.scene.now + 60.0)
    return rush, history


@pytest.mark.parametrize("seed", range(5))
def test_what_two_keys_are_served_never_differs_by_more_than_the_bound(seed: int) -> None:
    _, history = _backlogged({"a": 0.0, "b": 0.0}, seed)
    assert len(history) > 800
    gaps = [one["a"] - one["b"] for one in history]
    # Of any interval, so of the largest and the smallest difference since the beginning.
    assert max(gaps) - min(gaps) <= _BOUND


def test_a_key_of_twice_the_weight_is_served_twice_as_much() -> None:
    _, history = _backlogged({"a": 1.0, "b": 2.0, "c": 1.0}, 1)
    last = {key: one * weight for (key, one), weight in zip(history[-1].items(), (1.0, 2.0, 1.0), strict=True)}
    assert last["b"] / last["a"] == pytest.approx(2.0, rel=0.1)
    assert last["c"] / last["a"] == pytest.approx(1.0, rel=0.1)


def test_one_that_asks_little_hardly_waits_behind_one_that_asks_a_lot() -> None:
    rush = Rush(places=4)
    for _ in range(400):
        rush.ask("greedy", seconds=1.0)
    for number in range(20):
        rush.at(rush.scene.now + 1.5 + 2 * number, lambda: rush.ask("modest", seconds=1.0))
    rush.run(rush.scene.now + 50)
    waits = [job.waited for job in rush.jobs.values() if job.key == "modest"]
    assert max(waits) <= 1.0, "the next place that is given back is theirs"


def test_who_was_away_has_no_credit_for_it_and_who_used_what_nobody_wanted_no_debt() -> None:
    rush = Rush(places=1)
    for _ in range(50):
        rush.ask("early", seconds=0.1)
        rush.run(rush.scene.now + 0.2)
    for key in ("early", "late") * 10:
        rush.ask(key, seconds=1.0)
    rush.run(rush.scene.now + 8.5)
    begun = [job.key for job in rush.jobs.values() if job.key == "late" and job.begun_at is not None]
    assert 4 <= len(begun) <= 5


def test_what_was_not_used_is_given_back() -> None:
    accounts = Accounts()
    charged = accounts.on_placed("k", 1.0, 100)
    assert accounts.counter("k") == 100
    assert accounts.settle("k", 1.0, charged=charged, read=0, written=0)
    assert accounts.counter("k") == 0
    charged = accounts.on_placed("k", 2.0, 100)
    assert not accounts.settle("k", 2.0, charged=charged, read=60, written=50)
    assert accounts.counter("k") == (60 + 2 * 50) / 2


def test_a_key_that_comes_begins_where_the_least_served_of_those_waiting_is() -> None:
    accounts = Accounts()
    for key in "ab":
        accounts.on_waiting(key)
    for key, tokens in (("a", 500), ("b", 300)):
        accounts.on_placed(key, 1.0, tokens)
    accounts.on_waiting("c")
    assert [accounts.counter(key) for key in "abc"] == [500, 300, 300]


def test_keys_without_debts_are_forgotten() -> None:
    accounts = Accounts()
    for number in range(25_000):
        accounts.on_placed(f"k-{number}", 1.0, 1)
    assert len(accounts) <= 10_000


def test_whoever_waits_at_the_lowest_criticality_is_served_though_the_higher_ones_never_end() -> None:
    rush = Rush(places=1)
    low = [rush.ask("low", criticality=SHEDDABLE, seconds=0.01) for _ in range(3)][1:]

    def again(job: Job) -> None:
        if job.key == "high":
            rush.ask("high", criticality=CRITICAL, seconds=0.01)

    rush.on_end = again
    for _ in range(10):
        rush.ask("high", criticality=CRITICAL, seconds=0.01)
    rush.run(rush.scene.now + 3.0)
    turns = sorted(job.begun_at for job in rush.jobs.values() if job.begun_at is not None)
    assert all(job.begun_at is not None and turns.index(job.begun_at) <= 2 * 64 + 1 for job in low)
    assert len(turns) > 250


def test_the_more_critical_goes_first_and_within_a_key_whoever_s_time_is_up_first() -> None:
    rush = Rush(places=1)
    rush.ask()
    rush.ask("x", criticality=SHEDDABLE, time_left=5.0)
    for left in (30.0, 10.0, 20.0):
        rush.ask("x", time_left=left)
    rush.run(rush.scene.now + 4.5)
    order = sorted((job for job in rush.jobs.values() if job.begun_at is not None), key=lambda job: job.begun_at or 0)
    assert [job.id for job in order] == ["g-0", "g-3", "g-4", "g-2", "g-1"]


@pytest.mark.parametrize("seed", range(3))
def test_no_place_is_left_empty_that_somebody_waits_for(seed: int) -> None:
    rush = Rush(workers=3, places=2)
    keys = itertools.cycle("abcde")
    rush.arrivals(9.0, 60.0, seed, lambda chance: rush.ask(next(keys), seconds=chance.uniform(0.1, 1.5)))
    rush.run(rush.scene.now + 120.0)
    assert all(job.ended_at is not None for job in rush.jobs.values())
