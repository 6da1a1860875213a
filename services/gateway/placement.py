"""Where attempts go: one long stream to a router, which carries every ask and every lease."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router
from prometheus_client import CollectorRegistry

from services.chassis import declared, ids, status
from services.chassis.deadline import Deadline, to_duration
from services.chassis.failure import Failure
from services.gateway import fallback
from services.gateway.fleet import FleetView
from services.gateway.lease import Lease
from services.gateway.routers import Router, Routers
from services.gateway.session import stopping

LOG = structlog.get_logger()

_RECONNECT_SECONDS = 0.1
# A router that has just begun answers when its workers have reported, after two seconds at the latest.
_OPENING_SECONDS = 3.0
# When to come back to a gateway that holds as many waiting prompts as it may.
_FULL_RETRY_SECONDS = 1.0

ALONE = declared.Counter(
    "hybrid_gateway_fallback_placements_total", "Attempts that the gateway placed without a router."
)
LOSSES = declared.Counter("hybrid_gateway_router_losses_total", "Lost Place streams.")
CONNECTED = declared.Gauge("hybrid_gateway_router_connected", "Whether a router answers.")


class Refused(Failure):
    """What the router refuses, with how it came to that."""

    def __init__(self, failure: Failure, decision: routing.Decision) -> None:
        super().__init__(failure.reason, failure.message, retry_after=failure.retry_after, metadata=failure.metadata)
        self.decision = decision


class Waiting:
    """An ask that has not been answered: the router's silence is borne for a while, a wait until the deadline."""

    def __init__(self, deadline: Deadline, prompt_bytes: Callable[[], int]) -> None:
        self.answer: asyncio.Future[router.PlaceAnswer | None] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.Timeout | None = None
        self.told = False  # whether the router has said that it waits
        self.bytes = 0
        self._deadline = deadline
        self._prompt_bytes = prompt_bytes

    @property
    def over(self) -> bool:
        """Whether there is an answer, or no more time for one."""
        return self.answer.done() or (self.timer is not None and self.timer.expired())

    def on_told(self) -> None:
        """The router says that there is no room now, and that it will answer when there is."""
        self.told = True
        self.bytes = self._prompt_bytes()
        if self.timer is not None:
            self.timer.reschedule(self._deadline.at)


class RouterGone(Exception):
    """There is no router at the other end."""


class Placements:
    """Asks the router, and tells it how attempts went. Without a router it places first attempts itself.

    Of several routers one that is lost or silent is left for another, which hears of all that runs and is asked again.
    """

    def __init__(
        self,
        routers: Routers,
        fleet: FleetView,
        registry: CollectorRegistry,
        *,
        gateway: str,
        waiting_bytes: int = 64 << 20,
    ) -> None:
        self._routers = routers
        self._fleet = fleet
        self._gateway = gateway
        self.connected = asyncio.Event()
        self._settled = asyncio.Event()  # connected, or nobody to connect to
        # A router answers in a millisecond. One that hangs is as good as none, long before its connection breaks.
        self.patience_seconds = 2.0
        self._outbox = router.PlaceRequest()
        self._wake = asyncio.Event()
        self._waiting: dict[str, Waiting] = {}
        self._hedging: dict[str, asyncio.Future[router.PlaceAnswer | None]] = {}
        self._most_bytes = waiting_bytes
        self._bytes = 0  # of prompts that wait
        self._interrupted = False
        self._leases: dict[str, Lease] = {}
        self._alone = ALONE.on(registry)
        self._losses = LOSSES.on(registry)
        CONNECTED.on(registry).set_function(self.connected.is_set)

    def reconfigure(self, *, waiting_bytes: int) -> None:
        """Hold so many bytes of waiting prompts from now on. Those that wait go on waiting."""
        self._most_bytes = waiting_bytes

    def interrupt(self) -> None:
        """The gateway stops: fail what waits for a place, so that callers are told, and have nothing else wait."""
        self._interrupted = True
        self._settled.set()
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(stopping())
        _answer_none(self._hedging.values())

    async def place(
        self, ask: placement.PlacementAsk, deadline: Deadline, prompt_bytes: Callable[[], int] = int
    ) -> placement.Placement:
        """Where the first attempt goes.

        Args:
            ask: what is asked.
            deadline: how long the answer is waited for where the router says that it waits for room.
            prompt_bytes: what is held of the request meanwhile.

        Raises:
            Failure: as the router refuses; DEADLINE_EXCEEDED while waiting; FLEET_SATURATED where too much waits here;
                STREAM_INTERRUPTED where the gateway stops.
        """
        answer = await self._ask(ask.generation_id, router.PlaceCommand(ask=ask), deadline, prompt_bytes)
        if answer is None:
            return self._place_alone(ask)
        return self._leased(answer, ask)

    async def after_failure(
        self,
        lease: placement.Placement,
        outcome: placement.AttemptOutcome,
        failure: Failure,
        deadline: Deadline,
        prompt_bytes: Callable[[], int] = int,
    ) -> placement.Placement:
        """Where the next attempt goes after one that failed: a fresh one, or one that goes on with what was said.

        Raises:
            Failure: as the router refuses; `failure` itself where no router can be asked.
        """
        command = router.PlaceCommand(outcome=outcome)
        # It stays until there is an answer: a router that is asked in another's place has to know of it.
        failed, answer = self._leases[lease.attempt_id], None
        try:
            answer = await self._ask(lease.generation_id, command, deadline, prompt_bytes)
        finally:
            self._leases.pop(lease.attempt_id, None)
            if answer is None:  # one that heard of it may not have heard that it has ended
                unwanted = placement.AttemptOutcome(attempt_id=lease.attempt_id, status=outcome.status)
                self._tell(router.PlaceCommand(outcome=unwanted))
        if answer is None:
            raise Failure(
                failure.reason, failure.message, retry_after=failure.retry_after or 1.0, metadata=failure.metadata
            )
        return self._leased(answer, failed.ask, (*failed.tried, failed.worker))

    async def hedge(
        self, slow: placement.Placement, time_left: float | None, *, spent_nano_usd: int = 0
    ) -> placement.Placement | None:
        """Where a second attempt goes beside one that is slow to begin; None where the router wants none.

        The request's attempts that have ended have cost `spent_nano_usd`.
        """
        if not self.connected.is_set():
            return None
        ask = placement.HedgeAsk(attempt_id=slow.attempt_id, spent_nano_usd=spent_nano_usd)
        if time_left is not None:
            ask.time_left.CopyFrom(to_duration(time_left))
        waiting: asyncio.Future[router.PlaceAnswer | None] = asyncio.get_running_loop().create_future()
        self._hedging[slow.generation_id] = waiting
        self._tell(router.PlaceCommand(hedge=ask))
        # Nothing else is heard meanwhile, the deadline included.
        patience = self.patience_seconds if time_left is None else min(self.patience_seconds, time_left)
        answer: router.PlaceAnswer | None = None
        try:
            async with asyncio.timeout(patience):
                answer = await waiting
        except TimeoutError:
            return None
        finally:
            del self._hedging[slow.generation_id]
            if answer is None:
                self._give_back_late(waiting)
        if answer is None or answer.HasField("refusal"):
            return None
        first = self._leases[slow.attempt_id]
        return self._hold(answer.placement, first.ask, (*first.tried, first.worker))

    def first_content(self, report: placement.FirstContent) -> None:
        """An attempt has begun to answer."""
        self._leases[report.attempt_id].committed = True
        self._tell(router.PlaceCommand(first_content=report))

    def ended(self, outcome: placement.AttemptOutcome) -> None:
        """An attempt has ended, and no other is wanted."""
        if self._leases.pop(outcome.attempt_id, None) is not None:
            self._tell(router.PlaceCommand(outcome=outcome))

    def give_back(self, placed: placement.Placement) -> None:
        """What was placed is not wanted any more, nor is its shadow."""
        gone = status.to_status(Failure(reasons.ERROR_REASON_CANCELLED, "Nobody waits for it any more."))
        for one in (placed, placed.shadow):
            if one.attempt_id:
                self._leases.pop(one.attempt_id, None)
                outcome = placement.AttemptOutcome(attempt_id=one.attempt_id, status=gone)
                self._tell(router.PlaceCommand(outcome=outcome))

    async def follow(self) -> None:
        """Keep a stream open for ever, through the routers' restarts."""
        while True:
            async with self._routers.keeping() as kept:
                await self._keep(kept)
            if self._routers.alone:
                self._settled.set()
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _keep(self, kept: Router) -> None:
        call = kept.stub.Place()
        try:
            await self._converse(kept, call)
        except* (grpc.aio.AioRpcError, RouterGone) as lost:
            LOG.debug("router.unreachable", router=kept.name, error=repr(lost.exceptions[0]))
        finally:
            call.cancel()
            self._disconnected(kept, lost=self._routers.current is kept)
        self._routers.lost(kept)

    async def _converse(self, kept: Router, call: Any) -> None:
        await self._opened(call)
        hello = router.Hello(gateway=self._gateway, leases=self._restated(), drains=self._fleet.drains)
        self._outbox = router.PlaceRequest(commands=[router.PlaceCommand(hello=hello)])
        self._wake.set()
        self.connected.set()
        self._settled.set()
        self._routers.well(kept)
        LOG.info("router.connected", router=kept.name, leases=len(hello.leases))
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write(call))
            while (response := await call.read()) is not grpc.aio.EOF:
                for answer in response.answers:
                    self._answered(answer)
            writer.cancel()

    async def _opened(self, call: Any) -> None:
        """Wait for the metadata that a router sends once it knows its fleet; not for ever if there are others."""
        try:
            async with asyncio.timeout(_OPENING_SECONDS if len(self._routers) > 1 else None):
                await call.initial_metadata()
        except TimeoutError as error:
            raise RouterGone from error
        if call.done():
            raise RouterGone

    async def _write(self, call: Any) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):  # the call is over; the reader says why
            while True:
                await self._wake.wait()
                self._wake.clear()
                ready, self._outbox = self._outbox, router.PlaceRequest()
                if ready.commands:
                    await call.write(ready)

    def _disconnected(self, kept: Router, *, lost: bool) -> None:
        if self.connected.is_set():
            self._settled.clear()
            if lost:
                self._losses.inc()
                LOG.warning("router.lost", router=kept.name, waiting=len(self._waiting), leases=len(self._leases))
        self.connected.clear()
        futures = (*(waiting.answer for waiting in self._waiting.values()), *self._hedging.values())
        _answer_none(futures)

    def _answered(self, answer: router.PlaceAnswer) -> None:
        if answer.HasField("waiting"):
            self._told_to_wait(answer.waiting.generation_id)
            return
        placed, refusal = answer.placement, answer.refusal
        generation_id = placed.generation_id or refusal.generation_id
        if placed.kind == placement.ATTEMPT_KIND_HEDGE or refusal.attempt_id:
            future = self._hedging.get(generation_id)
        else:
            waiting = self._waiting.get(generation_id)
            future = None if waiting is None else waiting.answer
        if future is not None and not future.done():
            future.set_result(answer)
        else:  # the caller has gone away meanwhile
            self.give_back(answer.placement)

    def _told_to_wait(self, generation_id: str) -> None:
        waiting = self._waiting.get(generation_id)
        if waiting is None or waiting.told or waiting.over:
            return
        waiting.on_told()
        self._bytes += waiting.bytes
        if self._bytes > self._most_bytes:
            message = "Too many large prompts wait at this gateway for a worker; try again later."
            full = Failure(reasons.ERROR_REASON_FLEET_SATURATED, message, retry_after=_FULL_RETRY_SECONDS)
            refusal = placement.Refusal(generation_id=generation_id, status=status.to_status(full))
            waiting.answer.set_result(router.PlaceAnswer(refusal=refusal))
            self._tell(router.PlaceCommand(withdrawal=router.Withdrawal(generation_id=generation_id)))

    async def _ask(
        self, generation_id: str, command: router.PlaceCommand, deadline: Deadline, prompt_bytes: Callable[[], int]
    ) -> router.PlaceAnswer | None:
        """A router's answer; None without a router, or where each in its turn is lost or silent for too long."""
        for asked in range(len(self._routers)):
            if asked:
                _set_time_left(command, deadline)
            if not await self._has_router(deadline):
                return None
            answer = await self._ask_once(generation_id, command, deadline, prompt_bytes)
            if answer is not None:
                return answer
        return None

    async def _has_router(self, deadline: Deadline) -> bool:
        """Whether there is one to ask, once that is settled: while the gateway goes to another, that takes a moment."""
        if not self.connected.is_set() and not self._routers.alone:
            patience = deadline.earlier(self.patience_seconds, now=asyncio.get_running_loop().time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(patience.at):
                    await self._settled.wait()
        if self._interrupted:
            raise stopping()
        return self.connected.is_set()

    async def _ask_once(
        self, generation_id: str, command: router.PlaceCommand, deadline: Deadline, prompt_bytes: Callable[[], int]
    ) -> router.PlaceAnswer | None:
        kept = self._routers.current
        waiting = self._waiting[generation_id] = Waiting(deadline, prompt_bytes)
        self._tell(command)
        patience = deadline.earlier(self.patience_seconds, now=asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout_at(patience.at) as waiting.timer:
                return await waiting.answer
        except TimeoutError as error:
            self._withdraw(generation_id, waiting)
            if patience.at != deadline.at and not waiting.told:
                LOG.warning("router.silent", router=kept.name, seconds=self.patience_seconds)
                self._leave(kept)
                return None
            raise Failure(
                reasons.ERROR_REASON_DEADLINE_EXCEEDED,
                "The deadline passed before a worker was free.",
                stage="placement",
            ) from error
        except (asyncio.CancelledError, Failure):
            self._withdraw(generation_id, waiting)
            raise
        finally:
            self._bytes -= waiting.bytes
            del self._waiting[generation_id]

    def _leave(self, silent: Router) -> None:
        """Go to another router, if there is one: all that waits here is asked there."""
        if len(self._routers) > 1 and silent is self._routers.current:
            self._disconnected(silent, lost=True)
            self._routers.lost(silent)

    def _withdraw(self, generation_id: str, waiting: Waiting) -> None:
        """Nobody waits any more."""
        self._tell(router.PlaceCommand(withdrawal=router.Withdrawal(generation_id=generation_id)))
        self._give_back_late(waiting.answer)

    def _give_back_late(self, future: asyncio.Future[router.PlaceAnswer | None]) -> None:
        """Give back what came at the moment in which somebody ceased to wait for it."""
        late = future.result() if future.done() and not future.cancelled() and not future.exception() else None
        if late is not None:
            self.give_back(late.placement)

    def _place_alone(self, ask: placement.PlacementAsk) -> placement.Placement:
        in_flight = Counter(lease.worker for lease in self._leases.values())
        placed = fallback.place(ask, self._fleet.workers, in_flight, ids.new_id())
        self._alone.inc()
        return self._hold(placed, ask)

    def _leased(
        self, answer: router.PlaceAnswer, ask: placement.PlacementAsk, tried: tuple[str, ...] = ()
    ) -> placement.Placement:
        if answer.HasField("refusal"):
            raise Refused(status.from_status(answer.refusal.status), answer.refusal.decision)
        return self._hold(answer.placement, ask, tried)

    def _hold(
        self, placed: placement.Placement, ask: placement.PlacementAsk, tried: tuple[str, ...] = ()
    ) -> placement.Placement:
        self._leases[placed.attempt_id] = Lease(placed, ask, asyncio.get_running_loop().time(), tried)
        if placed.HasField("shadow"):  # stands for itself, also where it is restated
            self._leases[placed.shadow.attempt_id] = Lease(placed.shadow, ask, asyncio.get_running_loop().time())
        return placed

    def _restated(self) -> list[placement.RunningLease]:
        now = asyncio.get_running_loop().time()
        return [lease.restated(now) for lease in self._leases.values()]

    def _tell(self, command: router.PlaceCommand) -> None:
        if self.connected.is_set():
            self._outbox.commands.append(command)
            self._wake.set()


def _set_time_left(command: router.PlaceCommand, deadline: Deadline) -> None:
    """Some of it has passed while a router was silent."""
    left = deadline.left(now=asyncio.get_running_loop().time())
    if left is not None:
        told = command.ask if command.HasField("ask") else command.outcome
        told.time_left.CopyFrom(to_duration(max(0.0, left)))


def _answer_none(futures: Iterable[asyncio.Future[router.PlaceAnswer | None]]) -> None:
    """Have nobody wait for the router."""
    for future in futures:
        if not future.done():
            future.set_result(None)
