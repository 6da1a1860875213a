"""A worker with an engine."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.router.simulator.call import Attempt
from services.router.simulator.engine import NEVER, Engine
from services.router.simulator.job import Job
from services.router.simulator.scenario import Scenario
from services.router.simulator.sections import Group
from services.router.simulator.timeline import Timeline
from services.router.simulator.worker import SimulatedWorker


class LocalWorker(SimulatedWorker):
    """Runs attempts on an engine of its own."""

    def __init__(self, name: str, group: Group, timeline: Timeline, scenario: Scenario, seed: int, number: int) -> None:
        super().__init__(name, "vllm", timeline, scenario, seed, number)
        self._group = group
        self._slowness = 1.0
        self._engine = Engine(group.engine, group.speed)
        self._armed = NEVER
        self._jobs: dict[str, Job] = {}
        self._status.capacity = group.engine.max_sequences
        told = scenario.wiring.told_cache * group.engine.blocks * group.engine.block_tokens
        self._status.kv_capacity_tokens = round(told)

    def _begin(self, attempt: Attempt) -> bool:
        job = Job(attempt.input_tokens, attempt.output_tokens, attempt.call.request.blocks, attempt)
        if not self._engine.fits(job):
            self._forget(attempt)
            self._fail(attempt, reasons.ERROR_REASON_CONTEXT_TOO_LONG)
            return False
        self._jobs[attempt.attempt_id] = job
        self._engine.submit(job, self._timeline.now)
        self._arm()
        return True

    def _cancel(self, attempt: Attempt) -> int:
        job, now = self._jobs.pop(attempt.attempt_id), self._timeline.now
        produced = self._engine.produced(job, now)
        attempt.hit_tokens = max(0, job.hit)
        self._engine.cancel(job, now)
        self._arm()
        return produced

    def _lose(self) -> None:
        self._engine = Engine(self._group.engine, self._group.speed / self._slowness)
        self._armed = NEVER

    def _stall(self, until: float) -> None:
        self._engine.stall(until, self._timeline.now)
        self._arm()

    def _slow(self, factor: float) -> None:
        self._slowness *= factor
        self._engine.set_speed(self._group.speed / self._slowness, self._timeline.now)
        self._arm()

    def _load(self, status: worker_status.WorkerStatus, now: float) -> None:
        engine = self._engine
        status.running = engine.running
        status.waiting = engine.waiting
        status.queued_tokens = engine.queued_tokens
        status.kv_usage = engine.cache.usage
        status.emitted = engine.emitted_by(now)
        status.prefix_query_tokens = engine.query_tokens
        status.prefix_hit_tokens = engine.hit_tokens

    def _arm(self) -> None:
        at = self._engine.wakes_at
        if at != self._armed:
            self._armed = at
            if at != NEVER:
                self._timeline.at(at, self._wake, self._engine, at)

    def _wake(self, engine: Engine, at: float) -> None:
        if engine is not self._engine or at != engine.wakes_at:
            return  # planned anew since
        begun, ended = engine.advance()
        for job in begun:
            attempt: Attempt = job.owner
            attempt.hit_tokens = job.hit
            self._first(attempt)
        for job in ended:
            attempt = job.owner
            attempt.brought = job.output_tokens
            if self._jobs.pop(attempt.attempt_id, None) is not None:  # not given up in this very step
                self._end(attempt)
        self._arm()
        if begun or ended:
            self._reporter.changed()
