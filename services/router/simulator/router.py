"""A router of the simulated mesh: the decision core of production, told of what happens by simulated time."""

import itertools
import random
from collections.abc import Callable

from hybridinference.router.v1 import placement_pb2 as placement

from services.config.mesh import MeshConfig
from services.router.decider import Answer, Decider, Refused
from services.router.faults import Verdict
from services.router.observer import NullObserver
from services.router.pools import NewStrategy
from services.router.roster import Roster
from services.router.simulator.noise import Topic, mix
from services.router.simulator.reporter import Report
from services.router.simulator.timeline import Timeline
from services.router.simulator.worker import MODEL

# An alarm for a moment that has passed rings this much later, and not for ever at the same moment.
_LEAST_SECONDS = 1e-3
# As often as the router's process tells its core that time passes, while somebody waits for a beginning.
_TICK_SECONDS = 0.25
# What ends a wait.
Final = placement.Placement | Refused


class SimulatedRouter:
    """One router, and the stream of the one gateway that asks it."""

    def __init__(
        self, config: MeshConfig, new_strategy: NewStrategy, number: int, seed: int, timeline: Timeline
    ) -> None:
        observer = NullObserver()
        self._timeline = timeline
        self._wakes_at = 0.0
        self.on_answer: Callable[[Final], None] = _nobody
        self.roster = Roster(config, observer, new_strategy=new_strategy)
        ids = itertools.count(1)
        self.decider = Decider(
            self.roster,
            config.router.retry,
            rng=random.Random(mix(seed, Topic.STRATEGY, number)),
            new_id=lambda: f"{number}-{next(ids)}",
            observer=observer,
        )
        self._stream = self.decider.on_stream(f"gateway-{number}", ())
        self.config = config
        self._tick()

    def hear(self, worker: str, report: Report) -> None:
        """A worker's report arrives, or the news that it is gone."""
        if report is None:
            self.roster.on_lost(worker)
        else:
            self.roster.on_status(worker, report, self._timeline.now)
        self._release()

    def probed(self, worker: str, epoch: int, verdict: Verdict, rng: random.Random, *, probe: bool) -> None:
        """A small generation of the router's own has ended; the rest as Roster.on_probed."""
        known = self.roster.workers[worker]
        self.roster.on_probed(known, epoch, verdict, MODEL, self._timeline.now, rng, probe=probe)
        self._release()

    def ask(self, ask: placement.PlacementAsk) -> Final | None:
        """Where a generation should go; None where it waits."""
        return self._unless_waiting(self.decider.on_ask(self._stream, ask, self._timeline.now))

    def first_content(self, report: placement.FirstContent) -> None:
        """An attempt has begun to answer."""
        self.decider.on_first_content(self._stream, report, self._timeline.now)
        self._release()

    def outcome(self, outcome: placement.AttemptOutcome) -> Final | None:
        """An attempt has ended. What comes next, where something does; None as well where that waits."""
        return self._unless_waiting(self.decider.on_outcome(self._stream, outcome, self._timeline.now))

    def hedge(self, ask: placement.HedgeAsk) -> Answer:
        """A second worker beside one that is slow to begin, or a refusal that leaves it as it is."""
        return self.decider.on_hedge(self._stream, ask, self._timeline.now)

    def withdraw(self, generation_id: str) -> None:
        """The caller of a generation has gone away."""
        self.decider.on_withdrawal(self._stream, generation_id)
        self._release()

    def _tick(self) -> None:
        self.roster.on_time(self._timeline.now)
        self._release()
        self._timeline.at(self._timeline.now + _TICK_SECONDS, self._tick)

    def _unless_waiting(self, answer: Answer | None) -> Final | None:
        if not isinstance(answer, placement.Waiting):
            self._release()
            return answer
        # It may be answered at this very moment, but not before the gateway knows that it waits.
        self._timeline.at(self._timeline.now, self._release)
        return None

    def _release(self) -> None:
        """Pass on the answers to those that waited, and come again when time alone changes something."""
        now = self._timeline.now
        for _, answer in self.decider.released(now):
            if not isinstance(answer, placement.Waiting):
                self.on_answer(answer)
        at = self.decider.wake_at()
        if at is not None and not now < self._wakes_at <= at:
            self._wakes_at = max(at, now + _LEAST_SECONDS)
            self._timeline.at(self._wakes_at, self._release)


def _nobody(answer: Final) -> None:
    """No gateway is there."""
