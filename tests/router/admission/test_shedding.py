"""Who is told at once to come back later."""

import random

import pytest

from services.router.knowledge.prediction import Prediction
from tests.router.admission.rush import CRITICAL, MOST, PLUS, SHEDDABLE, Rush

_LEVELS = (SHEDDABLE, PLUS, CRITICAL, MOST)


def _learned(rush: Rush, seconds: float) -> Rush:
    """What a place is taken for is known."""
    for _ in range(5):
        rush.ask(seconds=seconds)
        rush.run(rush.scene.now + seconds + 0.01)
    return rush


def test_while_nothing_is_known_nobody_is_refused_for_it() -> None:
    rush = Rush(places=1, slo=0.1)
    for level in _LEVELS * 5:
        rush.ask(criticality=level, time_left=5.0)
    assert not [job for job in rush.jobs.values() if job.refused]


def test_what_cannot_begin_before_its_deadline_is_refused_at_once_with_when_to_come_back() -> None:
    rush = _learned(Rush(places=1), 2.0)
    running, behind = rush.ask(seconds=2.0), rush.ask(seconds=2.0, time_left=2.7)
    assert not behind.refused
    late = rush.ask(time_left=2.5)
    assert (running.refused, late.refused) == ("", "FLEET_SATURATED")
    refused = rush.scene.refusal(time_left=2.5)
    assert refused.retry_after == pytest.approx(4.0 - 2.5, abs=0.2)


def test_the_less_critical_is_refused_earlier() -> None:
    rush = _learned(Rush(places=1, slo=1.1), 1.0)
    rush.ask(seconds=1.0)
    refused: dict[int, int] = {}
    for level in _LEVELS:
        job, waiting = rush.ask(f"k-{level}", criticality=level), 0
        while not job.refused:
            job, waiting = rush.ask(f"k-{level}", criticality=level), waiting + 1
        refused[level] = waiting
    # A wait of a second for each that is served before: half a second, one, two and four are borne.
    assert refused[SHEDDABLE] == 0
    assert refused[SHEDDABLE] < refused[PLUS] <= refused[CRITICAL] < refused[MOST] <= 4


def test_an_idle_worker_is_tried_however_slow_it_is_thought_to_be() -> None:
    rush = Rush(places=4, slo=0.1)
    rush.scene.roster.pools["m"].predict = lambda request, target, now: Prediction(0.0, 50.0, 0.0)
    job = rush.ask(criticality=SHEDDABLE, time_left=1.0, seconds=5.0)
    assert job.begun_at is not None
    assert rush.ask(criticality=SHEDDABLE).refused == "FLEET_SATURATED", "one that has something to do is believed"


def test_a_wait_ends_with_the_deadline_or_when_it_has_been_too_long() -> None:
    rush = Rush(places=1)
    rush.ask(seconds=500.0)
    mine, forever = rush.ask(time_left=3.0), rush.ask()
    rush.run(rush.scene.now + 3.1)
    assert (mine.refused, forever.refused) == ("DEADLINE_EXCEEDED", "")
    rush.run(rush.scene.now + 57.0)
    assert forever.refused == "FLEET_SATURATED"
    assert rush.scene.decider.wake_at() is None


def test_a_full_queue_refuses_the_newest_of_the_lowest_criticality() -> None:
    rush = Rush(places=1, max_waiting=4)
    rush.ask()
    old, new = rush.ask(criticality=SHEDDABLE), rush.ask(criticality=SHEDDABLE)
    middle, high = rush.ask(criticality=PLUS), rush.ask(criticality=CRITICAL)
    assert rush.queue == 4
    first = rush.ask(criticality=CRITICAL)
    assert (new.refused, old.refused, first.refused) == ("FLEET_SATURATED", "", "")
    assert rush.ask(criticality=SHEDDABLE).refused == "FLEET_SATURATED"
    rush.ask(criticality=MOST)
    rush.ask(criticality=MOST)
    assert (old.refused, middle.refused, high.refused) == ("FLEET_SATURATED", "FLEET_SATURATED", "")
    assert rush.ask(criticality=CRITICAL).refused, "who comes is the newest"
    assert rush.queue == 4


def test_a_flood_in_a_full_queue_gives_way_to_who_has_little_there() -> None:
    rush = Rush(places=1, max_waiting=10)
    rush.ask()
    flood = [rush.ask("flood") for _ in range(10)]
    modest = [rush.ask("modest") for _ in range(4)]
    assert not [job for job in modest if job.refused]
    assert [job.id for job in flood if job.refused] == [job.id for job in flood[-4:]]
    assert rush.ask("flood").refused
    assert sum(bool(rush.ask("modest").refused) for _ in range(3)) == 2, "until both have as many"


def _good(rush: Rush, begun: float, level: int | None = None) -> tuple[int, int]:
    """Of what was asked after the beginning: how many began within the bound, and how many there were."""
    jobs = [
        job
        for job in rush.jobs.values()
        if begun <= job.asked_at < begun + 60 and (level is None or job.criticality == level)
    ]
    return sum(job.waited <= 2.0 for job in jobs), len(jobs)


def _overloaded(load: float, seed: int) -> tuple[Rush, float]:
    """Sixteen places, a second each: sixteen a second can be served. A quarter is critical, half may be shed."""
    rush = Rush(workers=2, places=8, slo=2.0)

    def ask(chance: random.Random) -> None:
        level = chance.choices((SHEDDABLE, PLUS, CRITICAL), (2, 1, 1))[0]
        rush.ask(f"k-{chance.randrange(10)}", criticality=level, seconds=chance.uniform(0.5, 1.5), time_left=20.0)

    rush.arrivals(load * 16.0, 80.0, seed, ask)
    begun = rush.scene.now + 10.0
    rush.run(rush.scene.now + 120.0)
    return rush, begun


@pytest.mark.parametrize("seed", range(3))
def test_at_three_times_the_load_goodput_stays_and_the_critical_are_served(seed: int) -> None:
    peak = max(_good(*_overloaded(load, seed))[0] for load in (0.8, 1.0, 1.2))
    rush, begun = _overloaded(3.0, seed)
    good, asked = _good(rush, begun)
    assert asked > 2.5 * peak
    assert good >= 0.9 * peak
    critical, all_critical = _good(rush, begun, CRITICAL)
    assert critical >= 0.99 * all_critical
    assert all(job.refused or job.ended_at is not None for job in rush.jobs.values())
    assert rush.queue == 0
