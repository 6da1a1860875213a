"""Targets and requests in the state that a test wants them in."""

from collections.abc import Mapping, Sequence

from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.config.mesh import MeshConfig
from services.config.model import Price
from services.router.pools import Pool
from services.router.progress import Pending
from services.router.request import Request
from services.router.target import Target
from tests.router.scene import Scene, mesh_config, report


def targets(count: int, *, strategy: str = "least_loaded") -> Sequence[Target]:
    """That many targets of one model, on workers that are well and idle."""
    return pool(count, strategy=strategy).targets


def pool(count: int, *, strategy: str = "least_loaded") -> Pool:
    """The pool of one model with that many targets, on workers that are well and idle."""
    return Scene(mesh_config(workers=count, strategy=strategy)).roster.models["m"]


def routed(*routes: Mapping[str, object], strategy: str = "least_loaded") -> Scene:
    """A scene whose model has these routes, each to a provider of its own, `a`, `b` and so on, with one worker."""
    names = [chr(ord("a") + index) for index in range(len(routes))]
    config = MeshConfig.model_validate(
        {
            "providers": {
                name: {"kind": "echo", "models": ["pm"], "workers": route.get("workers", 1)}
                for name, route in zip(names, routes, strict=True)
            },
            "models": [
                {
                    "name": "m",
                    "strategy": strategy,
                    "routes": [
                        {"provider": name, **{key: value for key, value in route.items() if key != "workers"}}
                        for name, route in zip(names, routes, strict=True)
                    ],
                }
            ],
        }
    )
    return Scene(config)


def loaded(
    target: Target,
    *,
    leases: int = 0,
    others: int = 0,
    capacity: int = 0,
    turn: int = 0,
    kind: str = "vllm",
    price: Price | None = None,
    pending: Sequence[Pending] = (),
) -> Target:
    """The target with this to do."""
    worker = target.worker
    worker.on_status(report(sequence=2, capacity=capacity, kind=kind), 1000.0)
    worker.leases, worker.others, target.turn = leases, others, turn
    target.price = price.tariff if price else target.price
    for index, one in enumerate(pending):
        worker.on_pending(f"{worker.name}-{index}", one.tokens, one.placed_at, one.expected_seconds)
    return target


def request(
    pool: Pool,
    *,
    input_tokens: int = 1000,
    blocks: Sequence[int] = (),
    max_output_tokens: int = 0,
    affinity: int = 0,
    slo: float | None = None,
    key: str = "",
) -> Request:
    """A request to that pool, with what is known of its prompt looked up."""
    ask = placement.PlacementAsk(
        generation_id="g",
        model="m",
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        prefix_hashes=blocks,
        affinity=affinity,
        key=key,
        first_content_slo=None if slo is None else to_duration(slo),
    )
    made = Request.of(ask, pool)
    pool.look_up(made)
    return made
