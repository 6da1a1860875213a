"""RouterService: gRPC in front of the decision core."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import drains_pb2
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router_service
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis import status
from services.chassis.failure import Failure
from services.router.decider import Answer, Decider
from services.router.drains import Drains
from services.router.fleet import Fleet
from services.router.leases import GatewayStream
from services.router.outbox import Outbox
from services.router.spans import PlacementSpans

NAME = router_service.DESCRIPTOR.services_by_name["RouterService"].full_name
# They end only when their caller wants; a drain does not wait for them.
ENDLESS = (f"/{NAME}/Place", f"/{NAME}/WatchFleet")

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(router_grpc.RouterServiceServicer):
    """Turns messages into calls of the core, and its answers into messages. Decides nothing."""

    def __init__(
        self,
        decider: Decider,
        fleet: Fleet,
        *,
        clock: Callable[[], float],
        config_version: str,
        spans: PlacementSpans | None = None,
    ) -> None:
        self.config_version = config_version
        self.spans = spans
        self._decider = decider
        self._fleet = fleet
        self._clock = clock
        self._drains: drains_pb2.Drains | None = None  # until somebody says
        self._outboxes: dict[GatewayStream, Outbox] = {}
        self._alarm: asyncio.TimerHandle | None = None
        fleet.on_news = self._release

    async def Place(  # type: ignore[override] # it writes by itself, since answers come from other streams as well
        self, request_iterator: AsyncIterator[router_service.PlaceRequest], context: Context
    ) -> None:
        """Answer a gateway's commands, those of one message together, until its stream ends.

        An ask that waits is answered whenever there is room. Initial metadata says that the fleet is known: until it
        comes, a gateway goes by the fleet it knows itself.
        """
        await self._fleet.settled()
        await context.send_initial_metadata(())
        stream: GatewayStream | None = None
        outbox = Outbox(context)
        try:
            async for request in request_iterator:
                commands = list(request.commands)
                if stream is None:
                    stream = self._opened(commands, self._clock())
                    self._outboxes[stream] = outbox
                    commands = commands[1:]
                for answer in self._told(stream, commands, self._clock()):
                    _answer(outbox.add(), answer)
                self._fleet.notify()
                await outbox.flush()
        finally:
            outbox.close()
            if stream is not None:
                del self._outboxes[stream]
                self._decider.on_stream_end(stream)
                if self.spans is not None:
                    self.spans.ended(stream)
                self._fleet.notify()

    async def WatchFleet(
        self, request: router_service.WatchFleetRequest, context: Context
    ) -> AsyncIterator[router_service.WatchFleetResponse]:
        """Send the fleet, at once and on change."""
        async with contextlib.aclosing(self._fleet.snapshots()) as snapshots:
            async for workers in snapshots:
                yield router_service.WatchFleetResponse(workers=workers, drains=self._drains)

    async def SetDrains(
        self, request: router_service.SetDrainsRequest, context: Context
    ) -> router_service.SetDrainsResponse:
        """Go by what is out of service now."""
        if self._drains != request.drains:
            self._drains = request.drains
            self._decider.on_drains(Drains.of(request.drains))
            self._fleet.notify()
        return router_service.SetDrainsResponse()

    def _release(self) -> None:
        """Send the answers to those that waited, and come again when time alone changes something."""
        now = self._clock()
        for stream, answer in self._decider.released(now):
            if self.spans is not None:
                self.spans.released(stream, answer)
            outbox = self._outboxes.get(stream)
            if outbox is not None:
                _answer(outbox.add(), answer)
                outbox.hurry()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        at = self._decider.wake_at()
        if at is not None:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, at - now), self._on_time)

    def _on_time(self) -> None:
        self._alarm = None
        self._fleet.notify()  # a placement is news of the fleet as well

    async def Explain(self, request: router_service.ExplainRequest, context: Context) -> router_service.ExplainResponse:
        """Say what would become of a request."""
        await self._fleet.settled()
        said = self._decider.on_explain(request.ask, self._clock())
        return router_service.ExplainResponse(
            decision=said.decision,
            fate=said.fate,
            refusal=status.to_status(said.refusal) if said.refusal is not None else None,
            ahead=said.ahead,
            config_version=self.config_version,
        )

    def _opened(self, commands: list[router_service.PlaceCommand], now: float) -> GatewayStream:
        if not commands or not commands[0].HasField("hello"):
            message = "The first command on a Place stream is `hello`, with the leases that still run."
            raise Failure(reasons.ERROR_REASON_SPEC_INVALID, message, field="commands[0].hello")
        hello = commands[0].hello
        if self._drains is None and hello.HasField("drains"):  # until we are told ourselves
            self._decider.on_drains(Drains.of(hello.drains))
        return self._decider.on_stream(hello.gateway, hello.leases, now)

    def _told(self, stream: GatewayStream, commands: list[router_service.PlaceCommand], now: float) -> list[Answer]:
        decide = self._decided if self.spans is None else self._traced
        answers = [decide(stream, command, now) for command in commands]
        return [answer for answer in answers if answer is not None]

    def _traced(self, stream: GatewayStream, command: router_service.PlaceCommand, now: float) -> Answer | None:
        assert self.spans is not None, "it was looked"
        span = self.spans.asked(stream, command)
        answer = self._decided(stream, command, now)
        self.spans.answered(stream, span, answer)
        return answer

    def _decided(self, stream: GatewayStream, command: router_service.PlaceCommand, now: float) -> Answer | None:
        match command.WhichOneof("command"):
            case "ask":
                return self._decider.on_ask(stream, command.ask, now)
            case "first_content":
                self._decider.on_first_content(stream, command.first_content, now)
            case "outcome":
                return self._decider.on_outcome(stream, command.outcome, now)
            case "hedge":
                return self._decider.on_hedge(stream, command.hedge, now)
            case "withdrawal":
                self._decider.on_withdrawal(stream, command.withdrawal.generation_id)
            case "hello":
                raise Failure(reasons.ERROR_REASON_SPEC_INVALID, "A Place stream has one `hello`.", field="hello")
        return None  # nothing, or a command of a newer gateway


def _answer(told: router_service.PlaceAnswer, answer: Answer) -> None:
    """Say it in the protocol's words."""
    if isinstance(answer, placement.Placement):
        told.placement.CopyFrom(answer)
    elif isinstance(answer, placement.Waiting):
        told.waiting.CopyFrom(answer)
    else:
        refusal, cause = told.refusal, answer.cause
        refusal.generation_id, refusal.attempt_id = answer.generation_id, answer.attempt_id
        refusal.status.CopyFrom(status.to_status(cause) if isinstance(cause, Failure) else cause)
        if answer.decision is not None:
            refusal.decision.CopyFrom(answer.decision)
