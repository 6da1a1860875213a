"""A rush on one model: asks come, workers serve one each place, time passes. No process, no network, no sleep."""

import dataclasses
import heapq
import random
from collections.abc import Callable

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.router.decider import Refused
from tests.router.scene import CHAT, Scene, mesh_config, report, told

SHEDDABLE, PLUS = routing.CRITICALITY_SHEDDABLE, routing.CRITICALITY_SHEDDABLE_PLUS
CRITICAL, MOST = routing.CRITICALITY_CRITICAL, routing.CRITICALITY_CRITICAL_PLUS


@dataclasses.dataclass
class Job:
    """One ask and what became of it. `seconds` is how long it holds its place; its first content comes at once."""

    id: str
    key: str
    criticality: int
    read: int
    written: int
    seconds: float
    asked_at: float
    begun_at: float | None = None
    ended_at: float | None = None
    refused: str = ""

    @property
    def waited(self) -> float:
        """Seconds until it began; infinity where it never did."""
        return float("inf") if self.begun_at is None else self.begun_at - self.asked_at


class Rush:
    """A scene that serves what is placed."""

    def __init__(self, *, workers: int = 1, places: int = 4, slo: float | None = None, max_waiting: int = 512) -> None:
        self.scene = Scene(mesh_config(workers=workers, slo=slo, max_waiting=max_waiting))
        self.jobs: dict[str, Job] = {}
        self.places = workers * places
        self.running = 0
        self.on_end: Callable[[Job], None] = lambda job: None
        self._sequence = 2
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0
        self._capacity = places
        self._report()

    @property
    def queue(self) -> int:
        """How many wait."""
        return len(self.scene.roster.pools["m"].admission.queue)

    def at(self, time: float, call: Callable[[], object]) -> None:
        """Do something at a time."""
        self._number += 1
        heapq.heappush(self._calls, (time, self._number, call))

    def ask(
        self,
        key: str = "k",
        *,
        criticality: int = CRITICAL,
        read: int = 10,
        written: int = 10,
        seconds: float = 1.0,
        time_left: float | None = None,
        weight: float = 0.0,
    ) -> Job:
        """Ask for a place, now."""
        job = Job(f"g-{len(self.jobs)}", key, criticality, read, written, seconds, self.scene.now)
        self.jobs[job.id] = job
        asked = placement.PlacementAsk(
            generation_id=job.id,
            model="m",
            key=key,
            key_weight=weight,
            criticality=criticality,  # type: ignore[arg-type]
            input_tokens=read,
            capabilities=CHAT,
            time_left=None if time_left is None else to_duration(time_left),
        )
        self._answered(self.scene.decider.on_ask(self.scene.stream, asked, self.scene.now))
        self.look()
        return job

    def look(self) -> None:
        """Hand out what waited, and see that no place is left empty that somebody waits for."""
        for _, answer in self.scene.decider.released(self.scene.now):
            self._answered(answer)
        assert self.running <= self.places
        assert not self.queue or self.running == self.places, "a place is empty while somebody waits"

    def run(self, until: float) -> None:
        """Let time pass."""
        while True:
            wakes = self.scene.decider.wake_at()
            next_at = min(self._calls[0][0] if self._calls else until, until if wakes is None else wakes)
            if next_at >= until:
                break
            self.scene.now = max(self.scene.now, next_at)
            if self._calls and self._calls[0][0] <= next_at:
                heapq.heappop(self._calls)[2]()
            self.look()
        self.scene.now = until

    def arrivals(self, rate: float, seconds: float, seed: int, ask: Callable[[random.Random], object]) -> None:
        """Let asks come at random, so many a second on average."""
        chance = random.Random(seed)
        at = self.scene.now
        while (at := at + chance.expovariate(rate)) < self.scene.now + seconds:
            self.at(at, lambda: ask(chance))

    def _report(self) -> None:
        """Workers report each second, as real ones do."""
        self._sequence += 1
        for name, worker in self.scene.roster.workers.items():
            running = worker.leases
            status = report(sequence=self._sequence, capacity=self._capacity, running=running, kind="echo")
            self.scene.report(name, status)
        self.at(self.scene.now + 1.0, self._report)

    def _answered(self, answer: object) -> None:
        if isinstance(answer, placement.Placement):
            job = self.jobs[answer.generation_id]
            job.begun_at = self.scene.now
            self.running += 1
            self.scene.begin(answer, 0.0)
            self.at(self.scene.now + job.seconds, lambda: self._end(answer, job))
        elif isinstance(answer, Refused):
            self.jobs[answer.generation_id].refused = told(answer).reason_name

    def _end(self, placed: placement.Placement, job: Job) -> None:
        job.ended_at = self.scene.now
        self.running -= 1
        usage = generation.Usage(input_tokens=job.read, output_tokens=job.written)
        outcome = placement.AttemptOutcome(attempt_id=placed.attempt_id, usage=usage, committed=True)
        self.scene.decider.on_outcome(self.scene.stream, outcome, self.scene.now)
        self.on_end(job)
