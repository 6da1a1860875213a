"""Why a request cannot be placed, in words and reasons that its caller can act on."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.inference.refusal import unsupported
from services.router.breaker import State
from services.router.pools import Pool, may_serve
from services.router.request import Request
from services.router.target import FILTERS, Target
from services.router.worker import Worker

_RETRY_SECONDS = 1.0
# Somebody has to undo it.
_DRAINED_SECONDS = 10.0
_NAMES_TOLD = 20

# The request's field that most likely asked for it. The router never sees the request itself, and has the gateway name
# the very field.
_FIELDS: dict[int, str] = {
    model.CAPABILITY_CHAT: "messages",
    model.CAPABILITY_EMBEDDINGS: "inputs",
    model.CAPABILITY_IMAGES: "messages",
    model.CAPABILITY_FILES: "messages",
    model.CAPABILITY_TOOLS: "tools",
    model.CAPABILITY_JSON_OBJECT: "response_format",
    model.CAPABILITY_JSON_SCHEMA: "response_format",
    model.CAPABILITY_LOGPROBS: "logprobs",
    model.CAPABILITY_CHOICES: "choices",
    model.CAPABILITY_REASONING_EFFORT: "reasoning_effort",
    model.CAPABILITY_SEED: "sampling.seed",
    model.CAPABILITY_PENALTIES: "sampling.frequency_penalty",
    model.CAPABILITY_LOGIT_BIAS: "sampling.logit_bias",
    model.CAPABILITY_TOP_K: "sampling.top_k",
    model.CAPABILITY_STOP: "sampling.stop",
    model.CAPABILITY_PROVIDER_OPTIONS: "provider_options_json",
    model.CAPABILITY_DIMENSIONS: "dimensions",
    model.CAPABILITY_TOKEN_INPUTS: "inputs",
}


def model_not_found(name: str, pools: Mapping[str, Pool]) -> Failure:
    """There is no such model."""
    known = sorted(pools)
    listed = ", ".join(known[:_NAMES_TOLD]) + (", …" if len(known) > _NAMES_TOLD else "")
    message = f"There is no model `{name}`; there are: {listed}."
    return Failure(reasons.ERROR_REASON_MODEL_NOT_FOUND, message, model=name)


def deadline_exceeded() -> Failure:
    """There is no time left to place anything."""
    message = "The deadline passed before the request could be placed."
    return Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, message, stage="placement")


def no_hedge() -> Failure:
    """No second attempt runs beside one. For the gateway alone: no caller hears of it."""
    return Failure(reasons.ERROR_REASON_FLEET_SATURATED, "No second attempt runs beside this one.")


def not_placed(request: Request, now: float) -> Failure:
    """No worker of the pool may take the request: none is what it asks for, it is not well, or it is full."""
    pool = request.pool
    targets = [target for target in pool.targets if may_serve(request, target)]
    why = [target.unfit(request) for target in targets]
    if all(why):
        return _unfit(request, targets, why)
    able = [t for t in targets if t.capable(request.needs) and t.worker.serving and not t.drained]
    well = [t for t in able if t.worker.breaker.admits(now)]
    if any(t.worker.full or t.worker.holds.limited(t.provider_model, now) for t in well):
        return saturated(pool, _soonest((t.held_until for t in well if not t.worker.full), now))
    if not well and any(t.drained or t.worker.drained for t in targets if t.capable(request.needs)):
        return Failure(
            reasons.ERROR_REASON_NO_HEALTHY_WORKER,
            f"All that could serve `{pool.model}` now is taken out of service by operators; try again later.",
            retry_after=_DRAINED_SECONDS,
            model=pool.model,
        )
    return Failure(
        reasons.ERROR_REASON_NO_HEALTHY_WORKER,
        f"No worker for `{pool.model}` is healthy at the moment; try again shortly.",
        retry_after=_soonest((t.held_until for t in well), now) if well else retry_after(pool.workers.values(), now),
        model=pool.model,
    )


def saturated(pool: Pool, seconds: float) -> Failure:
    """There is no room, and none in time."""
    return Failure(
        reasons.ERROR_REASON_FLEET_SATURATED,
        f"Every worker for `{pool.model}` is full or at its rate limit; try again later.",
        retry_after=seconds,
        model=pool.model,
    )


def _unfit(request: Request, targets: Sequence[Target], why: Sequence[str]) -> Failure:
    """No route is what the request asks for. What to tell of is what rules out those that came furthest."""
    pool, ask = request.pool, request.ask
    culprit = max(why, key=FILTERS.index)
    nearest = [target for target, filtered in zip(targets, why, strict=True) if filtered == culprit]
    match culprit:
        case "worker":
            message = f"No worker `{ask.worker}` serves `{pool.model}`; leave it out, or name one that does."
            return Failure(reasons.ERROR_REASON_SPEC_INVALID, message, field="routing.worker")
        case "provider":
            message = f"The key may use no provider that serves `{pool.model}`; choose another model."
            return Failure(reasons.ERROR_REASON_PERMISSION_DENIED, message, scope="providers")
        case "tags":
            tags = ", ".join(f"`{tag}`" for tag in sorted(request.tags))
            message = f"No route of `{pool.model}` has the tags {tags}; leave some out, or choose another model."
            return Failure(reasons.ERROR_REASON_SPEC_INVALID, message, field="routing.tags")
        case "capabilities":
            return _unsupported(pool, nearest, request.needs)
        case "context_length":
            longest = max(target.worker.context_tokens.get(target.provider_model, 0) for target in nearest)
            message = (
                f"The prompt has about {request.input_tokens} tokens, and no route of `{pool.model}` takes more than "
                f"{longest}; shorten it, or choose another model."
            )
            return Failure(reasons.ERROR_REASON_CONTEXT_TOO_LONG, message, model=pool.model, field="messages")
    least = round(min(target.most_cost(request) for target in nearest))
    message = (
        f"No route of `{pool.model}` is sure to cost at most {ask.max_cost_nano_usd} nano-USD: the cheapest may come "
        f"to {least}; raise the limit, or lower `max_output_tokens`."
    )
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, message, field="routing.max_cost_nano_usd")


def retry_after(workers: Iterable[Worker], now: float) -> float:
    """Seconds until an ejected worker is tried again, or until it is worth asking anyway."""
    return _soonest((worker.breaker.reopens_at for worker in workers if worker.breaker.state is State.OPEN), now)


def _soonest(times: Iterable[float], now: float) -> float:
    left = [time - now for time in times if time > now]
    return min(left, default=_RETRY_SECONDS)


def _unsupported(pool: Pool, nearest: Sequence[Target], needs: Collection[int]) -> Failure:
    lacking = [target.lacks(needs) for target in nearest]
    # The one that most targets lack is the one to tell of: where one rules all out, it is the culprit.
    capability = max(sorted(needs), key=lambda need: sum(need in lacks for lacks in lacking))
    providers = ", ".join(sorted({target.worker.place.provider for target in nearest}))
    return unsupported(capability, _FIELDS.get(capability, ""), name=pool.model, provider=providers)
