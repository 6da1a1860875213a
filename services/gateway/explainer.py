"""What would happen to a request now, as the router says. Nothing is generated, and nothing is recorded."""

import asyncio
from typing import Any

import grpc
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import router_service_pb2 as router

from services.chassis import ids, status
from services.chassis.failure import Failure
from services.gateway.ask import placement_ask
from services.gateway.call import Call
from services.gateway.relay import Relay
from services.gateway.routers import Routers
from services.gateway.validate import validate
from services.inference.capabilities import needs_of
from services.inference.refusal import name_field

FATES = {
    router.EXPLAINED_FATE_PLACED: "placed",
    router.EXPLAINED_FATE_WAITING: "waiting",
    router.EXPLAINED_FATE_REFUSED: "refused",
}

# A router answers in a millisecond; who asks can ask again.
_PATIENCE_SECONDS = 2.0
# To look at every candidate costs the router more than to place on one, and earns nobody an answer.
MOST_A_SECOND = 20


class Explainer:
    """Asks the gateway's router. A gateway alone, which would place by itself, has nothing to explain."""

    def __init__(self, routers: Routers, relay: Relay) -> None:
        """Nothing goes through the relay, which knows whether callers may know the workers' names."""
        self._routers = routers
        self._relay = relay
        self._left = float(MOST_A_SECOND)
        self._counted_at = 0.0

    async def explain(self, call: Call[generation.GenerationSpec]) -> inference.ExplainRouteResponse:
        """What would become of the call.

        Raises:
            Failure: SPEC_INVALID; RATE_LIMITED; ROUTER_UNAVAILABLE; DEADLINE_EXCEEDED.
        """
        validate(call.spec)
        needs = needs_of(call.spec)
        now = asyncio.get_running_loop().time()
        self._count(now)
        ask = placement_ask(ids.new_id(), call, needs, call.deadline.left(now=now))
        said = await self._ask(router.ExplainRequest(ask=ask), call)
        told = inference.ExplainRouteResponse(
            fate=FATES.get(said.fate, ""),
            decision=said.decision,
            ahead=said.ahead,
            config_version=said.config_version,
        )
        if said.HasField("refusal"):
            refusal = status.from_status(said.refusal)
            name_field(refusal, needs)
            told.refusal.CopyFrom(status.to_status(refusal))
        if call.grant.providers:  # what else there is, is not for the key to know
            allowed = [one for one in told.decision.candidates if one.provider in call.grant.providers]
            del told.decision.candidates[:]
            told.decision.candidates.extend(allowed)
        if not self._relay.show_worker:
            for candidate in told.decision.candidates:
                candidate.worker = ""
        return told

    def _count(self, now: float) -> None:
        self._left = min(float(MOST_A_SECOND), self._left + MOST_A_SECOND * (now - self._counted_at))
        self._counted_at = now
        if self._left < 1:
            raise Failure(
                reasons.ERROR_REASON_RATE_LIMITED,
                f"At most {MOST_A_SECOND} requests a second are explained; place one instead, or come back.",
                retry_after=(1 - self._left) / MOST_A_SECOND,
                limit="explain",
            )
        self._left -= 1

    async def _ask(self, request: router.ExplainRequest, call: Call[Any]) -> router.ExplainResponse:
        now = asyncio.get_running_loop().time()
        bound = call.deadline.earlier(_PATIENCE_SECONDS, now=now)
        asking = self._routers.current.stub.Explain(request)
        try:
            async with asyncio.timeout_at(bound.at):
                return await asking
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and bound.at == call.deadline.at:
                message = "The deadline passed before the router had answered."
                raise Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, message, stage="placement") from error
            message = "No router can be asked what would happen; a request would be placed by the gateway alone."
            raise Failure(reasons.ERROR_REASON_ROUTER_UNAVAILABLE, message, retry_after=1.0) from error
        finally:
            asking.cancel()  # grpc.aio never cancels a call that is merely dropped
