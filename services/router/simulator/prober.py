"""The probes of a simulated router: small generations of its own, where and when the decision core has them."""

import itertools
import random
from collections.abc import Mapping

from google.rpc import status_pb2
from hybridinference.router.v1 import placement_pb2 as placement

from services.router import probing
from services.router.faults import Kind, Verdict, judge
from services.router.simulator.call import Attempt, Call
from services.router.simulator.noise import Topic, mix
from services.router.simulator.router import SimulatedRouter
from services.router.simulator.sections import Wiring
from services.router.simulator.timeline import Timeline
from services.router.simulator.traffic.request import Request
from services.router.simulator.worker import SimulatedWorker

# As often as the router's process looks at a worker that is not known to be well.
_LOOK_SECONDS = 0.5
_TOO_LATE = Verdict(Kind.HARD, "DEADLINE_EXCEEDED")


class Prober:
    """Probes every worker that costs nothing, one probe at a time at each."""

    def __init__(
        self,
        router: SimulatedRouter,
        number: int,
        workers: Mapping[str, SimulatedWorker],
        wiring: Wiring,
        seed: int,
        timeline: Timeline,
    ) -> None:
        self._router = router
        self._number = number
        self._workers = workers
        self._wiring = wiring
        self._timeline = timeline
        self._settings = router.config.router.probe
        self._rng = random.Random(mix(seed, Topic.PROBES, number))
        self._ids = itertools.count(1)
        self._asked_at = dict.fromkeys(workers, timeline.now)
        self._failed: set[str] = set()
        self._under_way: dict[str, tuple[str, int, bool]] = {}  # by attempt: worker, its epoch, the breaker's probe
        roster = router.roster
        self._free = [name for name in workers if probing.is_free(roster.workers[name], router.config, roster)]
        if self._settings.enabled:
            self._look()

    def on_first_token(self, attempt: Attempt) -> None:
        """As services.router.simulator.call.Callers."""

    def on_end(self, attempt: Attempt, status: status_pb2.Status) -> None:
        """As services.router.simulator.call.Callers."""
        self._ended(attempt, judge(status))

    def _look(self) -> None:
        now, busy = self._timeline.now, {name for name, _, _ in self._under_way.values()}
        for name in self._free:
            worker, asked_at, failed = self._router.roster.workers[name], self._asked_at[name], name in self._failed
            if name not in busy and probing.due(worker, self._settings, now, asked_at=asked_at, failed=failed):
                self._ask(name)
        self._timeline.at(now + _LOOK_SECONDS, self._look)

    def _ask(self, name: str) -> None:
        now, worker = self._timeline.now, self._router.roster.workers[name]
        self._asked_at[name] = now
        number = next(self._ids)
        # Negative, so that it is no caller's request.
        call = Call(Request(-number, now, 1, 1), self._number, now, self)
        placed = placement.Placement(attempt_id=f"probe-{self._number}-{number}", worker=name)
        attempt = Attempt(call, placed, now)
        self._under_way[attempt.attempt_id] = (name, worker.epoch, worker.on_probe(now))
        self._timeline.at(now + self._wiring.network_seconds, self._workers[name].start, attempt)
        self._timeline.at(now + self._settings.seconds, self._on_timeout, attempt)

    def _on_timeout(self, attempt: Attempt) -> None:
        if not attempt.ended:
            self._timeline.at(
                self._timeline.now + self._wiring.network_seconds, self._workers[attempt.worker].cancel, attempt
            )
            self._ended(attempt, _TOO_LATE)

    def _ended(self, attempt: Attempt, verdict: Verdict) -> None:
        if attempt.ended:
            return
        attempt.ended_at = self._timeline.now
        name, epoch, probe = self._under_way.pop(attempt.attempt_id)
        if verdict.kind is Kind.HARD:
            self._failed.add(name)
        else:
            self._failed.discard(name)
        self._router.probed(name, epoch, verdict, self._rng, probe=probe)
