"""The gateways of the simulated mesh: they ask where requests go, and do as they are told."""

from collections.abc import Mapping, Sequence

from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration, to_seconds
from services.router.decider import Answer, Refused
from services.router.simulator import statuses
from services.router.simulator.attempt import Attempt
from services.router.simulator.call import COMPLETED, INTERRUPTED, TIMED_OUT, Call
from services.router.simulator.noise import Topic, mix
from services.router.simulator.router import SimulatedRouter
from services.router.simulator.scenario import Scenario
from services.router.simulator.timeline import Timeline
from services.router.simulator.traffic.request import Request
from services.router.simulator.worker import MODEL, SimulatedWorker

_CHAT = (model.CAPABILITY_CHAT,)


class Gateways:
    """One gateway for each router. Requests are dealt out to them in turn."""

    def __init__(
        self,
        scenario: Scenario,
        routers: Sequence[SimulatedRouter],
        workers: Mapping[str, SimulatedWorker],
        timeline: Timeline,
    ) -> None:
        self._scenario = scenario
        self._routers = routers
        self._workers = workers
        self._timeline = timeline
        self._open: dict[str, Call] = {}
        self._timeout = to_duration(scenario.timeout_seconds)
        self.calls: list[Call] = []

    @property
    def open(self) -> int:
        """Requests that have come and not ended."""
        return len(self._open)

    def arrive(self, request: Request) -> None:
        """A caller asks."""
        call = Call(request, request.identity % len(self._routers), self._timeline.now)
        self.calls.append(call)
        self._open[str(request.identity)] = call
        self._timeline.at(self._timeline.now + self._scenario.timeout_seconds, self._on_timeout, call)
        self._answered(call, self._routers[call.router].ask(self._ask(request)))

    def on_first_token(self, attempt: Attempt) -> None:
        """As services.router.simulator.attempt.Callers."""
        if attempt.ended:
            return
        call = self._open[str(attempt.request.identity)]
        attempt.first_at = now = self._timeline.now
        if call.first_at < 0:
            call.first_at = now
        latency = to_duration(now - attempt.started_at)
        report = placement.FirstContent(attempt_id=attempt.attempt_id, latency=latency)
        self._routers[call.router].first_content(report)

    def on_end(self, attempt: Attempt, status: status_pb2.Status) -> None:
        """As services.router.simulator.attempt.Callers."""
        if attempt.ended:
            return
        call = self._open[str(attempt.request.identity)]
        attempt.ended = True
        attempt.billed = status.code == 0 or attempt.first_at >= 0
        del call.running[attempt.attempt_id]
        answer = self._routers[call.router].outcome(self._outcome(call, attempt, status, wanted=True))
        if status.code == 0:
            self._close(call, COMPLETED)
        elif attempt.first_at >= 0:
            self._close(call, INTERRUPTED)
        else:
            self._answered(call, answer)

    def _answered(self, call: Call, answer: Answer | None) -> None:
        if answer is None:
            return  # it waits
        if isinstance(answer, Refused):
            self._close(call, statuses.reason_of(answer.cause))
            return
        now = self._timeline.now
        begin = now + to_seconds(answer.delay)
        attempt = Attempt(call.request, answer.number, call.router, answer.attempt_id, answer.worker, begin)
        call.attempts.append(attempt)
        call.running[attempt.attempt_id] = attempt
        self._timeline.at(begin + self._scenario.wiring.network_seconds, self._workers[answer.worker].start, attempt)

    def _on_timeout(self, call: Call) -> None:
        if call.outcome:
            return
        router = self._routers[call.router]
        for attempt in list(call.running.values()):
            self._stop(call, attempt, statuses.failed(reasons.ERROR_REASON_DEADLINE_EXCEEDED, stage="total"))
        router.withdraw(str(call.request.identity))
        self._close(call, TIMED_OUT)

    def _stop(self, call: Call, attempt: Attempt, status: status_pb2.Status) -> None:
        """End an attempt that nobody wants any more."""
        attempt.ended = attempt.billed = True
        del call.running[attempt.attempt_id]
        self._routers[call.router].outcome(self._outcome(call, attempt, status, wanted=False))
        at = self._timeline.now + self._scenario.wiring.network_seconds
        self._timeline.at(at, self._workers[attempt.worker].cancel, attempt)

    def _close(self, call: Call, outcome: str) -> None:
        call.outcome = outcome
        call.ended_at = self._timeline.now
        del self._open[str(call.request.identity)]

    def _ask(self, request: Request) -> placement.PlacementAsk:
        wiring = self._scenario.wiring
        return placement.PlacementAsk(
            generation_id=str(request.identity),
            model=MODEL,
            input_tokens=request.input_tokens,
            max_output_tokens=request.output_tokens if wiring.tell_output else 0,
            capabilities=_CHAT,
            time_left=self._timeout,
            prefix_hashes=request.blocks,
            block_tokens=self._scenario.block_tokens,
            affinity=mix(Topic.CONVERSATION, request.conversation) if request.conversation else 0,
            key=request.key,
            key_weight=request.key_weight,
            criticality=request.criticality,  # type: ignore[arg-type]  # its number
            first_content_slo=to_duration(self._scenario.slo.first_content(request)) if wiring.tell_slo else None,
        )

    def _outcome(
        self, call: Call, attempt: Attempt, status: status_pb2.Status, *, wanted: bool
    ) -> placement.AttemptOutcome:
        now = self._timeline.now
        usage = generation.Usage(
            input_tokens=call.request.input_tokens,
            cached_tokens=attempt.hit_tokens,
            output_tokens=attempt.output_tokens,
        )
        return placement.AttemptOutcome(
            attempt_id=attempt.attempt_id,
            status=status,
            committed=attempt.first_at >= 0,
            usage=usage,
            duration=to_duration(max(0.0, now - attempt.started_at)),
            time_left=to_duration(max(0.0, call.arrived_at + self._scenario.timeout_seconds - now)),
            wanted=wanted,
        )
