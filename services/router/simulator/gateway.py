"""The gateways of the simulated mesh: they ask where requests go, and do as they are told."""

from collections.abc import Mapping, Sequence

from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_seconds
from services.router.decider import Refused
from services.router.simulator import commands, statuses
from services.router.simulator.call import COMPLETED, INTERRUPTED, TIMED_OUT, Attempt, Call
from services.router.simulator.router import Final, SimulatedRouter
from services.router.simulator.scenario import Scenario
from services.router.simulator.timeline import Timeline
from services.router.simulator.traffic.request import Request
from services.router.simulator.worker import SimulatedWorker

_CANCELLED = statuses.failed(reasons.ERROR_REASON_CANCELLED)
_TOO_LATE = statuses.failed(reasons.ERROR_REASON_DEADLINE_EXCEEDED, stage="total")


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
        self._prices = {group.name: group.price.tariff for group in scenario.providers}
        self._waiting: dict[str, Call] = {}
        self.open = 0
        self.calls: list[Call] = []

    def arrive(self, request: Request) -> None:
        """A caller asks."""
        router, goes_on = request.identity % len(self._routers), self._scenario.wiring.continuable
        call = Call(request, router, self._timeline.now, self, continuable=goes_on)
        self.calls.append(call)
        self.open += 1
        self._timeline.at(self._ends_at(call), self._on_timeout, call)
        self._answered(call, self._routers[call.router].ask(commands.ask(self._scenario, request)))

    def on_answer(self, answer: Final) -> None:
        """A router answers an ask that had to wait."""
        call = self._waiting.get(answer.generation_id)
        if call is not None:
            self._answered(call, answer)

    def on_first_token(self, attempt: Attempt) -> None:
        """As services.router.simulator.call.Callers."""
        if attempt.ended:
            return
        call, now = attempt.call, self._timeline.now
        attempt.first_at = now
        if attempt.kind == placement.ATTEMPT_KIND_SHADOW:
            self._routers[call.router].first_content(commands.first_content(attempt))
            return
        if call.first_at < 0:
            call.first_at = now
        self._routers[call.router].first_content(commands.first_content(attempt))
        for other in [other for other in call.running.values() if other is not attempt]:
            self._stop(other, _CANCELLED)

    def on_end(self, attempt: Attempt, status: status_pb2.Status) -> None:
        """As services.router.simulator.call.Callers."""
        if attempt.ended:
            return
        call = attempt.call
        attempt.ended_at = self._timeline.now
        attempt.billed = status.code == 0 or attempt.first_at >= 0
        if attempt.kind == placement.ATTEMPT_KIND_SHADOW:
            self._report(attempt, status, wanted=False)
            return
        del call.running[attempt.attempt_id]
        call.tokens += attempt.brought if attempt.first_at >= 0 else 0
        answer = self._report(attempt, status, wanted=True)
        if status.code == 0:
            self._close(call, COMPLETED)
        elif call.first_at >= 0 and not isinstance(answer, placement.Placement):
            self._close(call, INTERRUPTED)
        elif not call.running:
            self._answered(call, answer)

    def _answered(self, call: Call, answer: Final | None) -> None:
        if answer is None:
            self._waiting[call.identity] = call
            return
        self._waiting.pop(call.identity, None)
        if isinstance(answer, Refused):
            self._close(call, statuses.reason_of(answer.cause))
        else:
            self._start(call, answer)

    def _start(self, call: Call, placed: placement.Placement) -> None:
        begin = self._timeline.now + to_seconds(placed.delay)
        attempt = Attempt(call, placed, begin)
        call.attempts.append(attempt)
        if placed.kind != placement.ATTEMPT_KIND_SHADOW:
            call.running[attempt.attempt_id] = attempt
        arrives = begin + self._scenario.wiring.network_seconds
        self._timeline.at(arrives, self._workers[placed.worker].start, attempt)
        if placed.HasField("hedge_after"):
            self._timeline.at(begin + to_seconds(placed.hedge_after), self._on_slow, attempt)
        if placed.HasField("shadow"):
            self._start(call, placed.shadow)

    def _on_slow(self, attempt: Attempt) -> None:
        """An attempt has had its time to begin; where it has not, another one may run beside it."""
        if attempt.ended or attempt.first_at >= 0:
            return
        call = attempt.call
        left = self._ends_at(call) - self._timeline.now
        answer = self._routers[call.router].hedge(commands.hedge(attempt, left, self._spent(call)))
        if isinstance(answer, placement.Placement):
            self._start(call, answer)

    def _on_timeout(self, call: Call) -> None:
        if call.outcome:
            return
        for attempt in list(call.running.values()):
            self._stop(attempt, _TOO_LATE)
        self._routers[call.router].withdraw(call.identity)
        self._waiting.pop(call.identity, None)
        self._close(call, TIMED_OUT)

    def _stop(self, attempt: Attempt, status: status_pb2.Status) -> None:
        """End an attempt that nobody wants any more."""
        attempt.ended_at = self._timeline.now
        attempt.billed = True
        del attempt.call.running[attempt.attempt_id]
        self._report(attempt, status, wanted=False)
        at = self._timeline.now + self._scenario.wiring.network_seconds
        self._timeline.at(at, self._workers[attempt.worker].cancel, attempt)

    def _report(self, attempt: Attempt, status: status_pb2.Status, *, wanted: bool) -> Final | None:
        """Tell the router how an attempt ended."""
        now, call = self._timeline.now, attempt.call
        told = commands.outcome(attempt, status, now, self._ends_at(call) - now, self._spent(call), wanted=wanted)
        return self._routers[call.router].outcome(told)

    def _spent(self, call: Call) -> int:
        """What the attempts have cost that have ended, where somebody cares."""
        if call.request.max_cost_nano_usd is None:
            return 0
        ended = [one for one in call.attempts if one.ended and one.kind != placement.ATTEMPT_KIND_SHADOW]
        return sum(one.cost(self._prices[one.worker.rpartition("-")[0]]) for one in ended)

    def _ends_at(self, call: Call) -> float:
        return call.arrived_at + self._scenario.timeout_seconds

    def _close(self, call: Call, outcome: str) -> None:
        call.outcome = outcome
        call.ended_at = self._timeline.now
        self.open -= 1
