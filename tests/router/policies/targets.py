"""Targets and requests in the state that a test wants them in."""

from collections.abc import Sequence

from hybridinference.router.v1 import placement_pb2 as placement

from services.router.pools import Pool
from services.router.request import Request
from services.router.target import Target
from services.router.worker import Pending
from tests.router.scene import Scene, mesh_config, report


def targets(count: int, *, strategy: str = "least_loaded") -> Sequence[Target]:
    """That many targets of one model, on workers that are well and idle."""
    return Scene(mesh_config(workers=count, strategy=strategy)).roster.models["m"].targets


def loaded(
    target: Target,
    *,
    leases: int = 0,
    others: int = 0,
    capacity: int = 0,
    turn: int = 0,
    pending: Sequence[Pending] = (),
) -> Target:
    """The target with this to do."""
    worker = target.worker
    worker.on_status(report(sequence=2, capacity=capacity), 1000.0)
    worker.leases, worker.others, target.turn = leases, others, turn
    for index, one in enumerate(pending):
        worker.on_pending(f"{worker.name}-{index}", one.tokens, one.placed_at, one.expected_seconds)
    return target


def request(pool: Pool, *, input_tokens: int = 1000, blocks: Sequence[int] = (), max_output_tokens: int = 0) -> Request:
    """A request to that pool."""
    ask = placement.PlacementAsk(
        generation_id="g",
        model="m",
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        prefix_hashes=blocks,
    )
    return Request.of(ask, pool)
