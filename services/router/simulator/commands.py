"""What gateways tell routers, in the contract's words."""

from google.rpc import status_pb2
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.router.simulator.call import Attempt
from services.router.simulator.noise import Topic, mix
from services.router.simulator.scenario import Scenario
from services.router.simulator.traffic.request import Request
from services.router.simulator.worker import MODEL

_CHAT = (model.CAPABILITY_CHAT,)


def ask(scenario: Scenario, request: Request) -> placement.PlacementAsk:
    """Where should this request go?"""
    wiring = scenario.wiring
    return placement.PlacementAsk(
        generation_id=str(request.identity),
        model=MODEL,
        input_tokens=request.input_tokens,
        max_output_tokens=request.output_tokens if wiring.tell_output else 0,
        capabilities=_CHAT,
        time_left=to_duration(scenario.timeout_seconds),
        prefix_hashes=request.blocks,
        block_tokens=scenario.block_tokens,
        affinity=mix(Topic.CONVERSATION, request.conversation) if request.conversation else 0,
        key=request.key,
        key_weight=request.key_weight,
        criticality=request.criticality,  # type: ignore[arg-type]  # its number
        first_content_slo=to_duration(scenario.slo.first_content(request)) if wiring.tell_slo else None,
        max_cost_nano_usd=request.max_cost_nano_usd,
        continuable=wiring.continuable,
    )


def first_content(attempt: Attempt) -> placement.FirstContent:
    """An attempt has begun to answer."""
    return placement.FirstContent(
        attempt_id=attempt.attempt_id, latency=to_duration(attempt.first_at - attempt.started_at)
    )


def hedge(attempt: Attempt, left: float, spent: int) -> placement.HedgeAsk:
    """Might another attempt run beside this one?"""
    return placement.HedgeAsk(
        attempt_id=attempt.attempt_id, time_left=to_duration(max(0.0, left)), spent_nano_usd=spent
    )


def outcome(
    attempt: Attempt, status: status_pb2.Status, now: float, left: float, spent: int, *, wanted: bool
) -> placement.AttemptOutcome:
    """An attempt has ended."""
    committed = attempt.first_at >= 0
    return placement.AttemptOutcome(
        attempt_id=attempt.attempt_id,
        status=status,
        committed=committed,
        usage=generation.Usage(
            input_tokens=attempt.input_tokens, cached_tokens=attempt.hit_tokens, output_tokens=attempt.brought
        ),
        duration=to_duration(max(0.0, now - attempt.started_at)),
        time_left=to_duration(max(0.0, left)),
        wanted=wanted,
        continuable=committed and attempt.call.continuable,
        spent_nano_usd=spent,
    )
