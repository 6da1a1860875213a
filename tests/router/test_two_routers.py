"""Two routers over the same workers: each knows its own leases, and of the other's what workers report."""

import heapq
import random

import pytest
from hybridinference.router.v1 import placement_pb2 as placement

from services.router.decider import Answer, Refused
from tests.router.scene import Scene, mesh_config, report

WORKERS, CAPACITY = 4, 16
REPORT_SECONDS = 0.05  # after a change, and workers change all the time here
MEAN_SECONDS = 0.8


class Play:
    """Requests that are placed now by one router, now by the other, on simulated workers that report to both."""

    def __init__(self, routers: int, *, seed: int, per_second: float, first_share: float, told: bool = True) -> None:
        config = mesh_config(workers=WORKERS, strategy="least_loaded", router={"slow_start_seconds": 0})
        self.scenes = [Scene(config, seed=seed + number) for number in range(routers)]
        self.names = list(self.scenes[0].roster.workers)
        self.most = 0  # generations at one worker at once
        self.uneven: list[int] = []  # how many more one worker had than another, at each placement
        self.waited = [0] * routers
        self.placed = [0] * routers
        self._rng = random.Random(seed)
        self._told = told
        self._per_second, self._first_share = per_second, first_share
        self._sequence = 1
        self._now = 0.0
        self._count = 0
        self._ends: list[tuple[float, int, int, placement.Placement]] = []  # of attempts, with who placed them

    def run(self, seconds: float) -> None:
        """Play for so long."""
        rng, ends, next_ask, next_report = self._rng, self._ends, 0.0, 0.0
        while self._now < seconds:
            now = self._now = min(next_ask, next_report, ends[0][0] if ends else next_ask)
            for scene in self.scenes:
                scene.now = 1000.0 + now
            if ends and ends[0][0] <= now:
                _, _, router, placed = heapq.heappop(ends)
                self.scenes[router].end(placed)
            elif next_report <= now:
                self._report()
                next_report = now + REPORT_SECONDS
            else:
                router = 0 if rng.random() < self._first_share else 1
                next_ask = now + rng.expovariate(self._per_second)
                self._take(router, self.scenes[router].answer())
            for router, scene in enumerate(self.scenes):
                for answer in scene.released():
                    self._take(router, answer)

    def _take(self, router: int, answer: Answer) -> None:
        """One that waits is answered later."""
        assert not isinstance(answer, Refused)
        if isinstance(answer, placement.Waiting):
            self.waited[router] += 1
            return
        self.placed[router] += 1
        self._count += 1
        end = self._now + self._rng.expovariate(1 / MEAN_SECONDS)
        heapq.heappush(self._ends, (end, self._count, router, answer))
        running = self._running()
        self.most = max(self.most, *running)
        self.uneven.append(max(running) - min(running))

    def _running(self) -> list[int]:
        return [sum(scene.leases()[name] for scene in self.scenes) for name in self.names]

    def _report(self) -> None:
        self._sequence += 1
        for name, running in zip(self.names, self._running(), strict=True):
            for scene in self.scenes:
                seen = running if self._told else scene.leases()[name]
                scene.report(name, report(sequence=self._sequence, running=seen, capacity=CAPACITY, kind="echo"))

    @property
    def mean_uneven(self) -> float:
        return sum(self.uneven) / len(self.uneven)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("first_share", [0.5, 0.9])
def test_two_routers_spread_nearly_as_evenly_as_one_because_workers_tell_both(first_share: float, seed: int) -> None:
    plays = {
        "one": Play(1, seed=seed, per_second=40, first_share=1.0),
        "two": Play(2, seed=seed, per_second=40, first_share=first_share),
        "blind": Play(2, seed=seed, per_second=40, first_share=first_share, told=False),
    }
    for play in plays.values():
        play.run(10.0)
    uneven = {name: play.mean_uneven for name, play in plays.items()}
    print(first_share, seed, {name: round(value, 2) for name, value in uneven.items()})
    assert uneven["two"] < uneven["one"] + 1.5
    assert uneven["two"] < uneven["blind"]


@pytest.mark.parametrize("seed", range(2))
def test_two_routers_fill_workers_no_further_than_what_comes_between_two_reports(seed: int) -> None:
    play = Play(2, seed=seed, per_second=120, first_share=0.5)  # half as much again as the workers can do
    play.run(6.0)
    print(seed, play.most, play.placed, play.waited)
    assert play.most <= CAPACITY + 4, "each knew what the other had placed a twentieth of a second ago"
    assert min(play.waited) > 0
    assert 0.4 < play.placed[0] / sum(play.placed) < 0.6, "neither starves the other"
