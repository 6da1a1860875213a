"""Fields of targets for a strategy: as many as a test wants, in the state that it wants them in."""

import random
from collections.abc import Sequence

from hybridinference.router.v1 import placement_pb2 as placement

from services.router.policies.strategy import Strategy
from services.router.pools import Pool
from services.router.request import Request
from services.router.target import Target
from tests.router.scene import Scene, mesh_config


class Field:
    """Targets of one model, a strategy that chooses among them, and a clock that stands still."""

    def __init__(self, count: int, strategy: Strategy, *, seed: int = 1) -> None:
        self.pool: Pool = Scene(mesh_config(workers=count)).roster.models["m"]
        self.strategy = strategy
        self.rng = random.Random(seed)
        self.now = 1000.0
        self._asked = 0

    @property
    def targets(self) -> Sequence[Target]:
        return self.pool.targets

    def loads(self, *loads: int) -> "Field":
        """So many generations at each."""
        for target, load in zip(self.targets, loads, strict=True):
            target.worker.leases = load
        return self

    def waits(self, index: int, tokens: int) -> "Field":
        """So many prompt tokens wait at that target."""
        target = self.targets[index]
        target.worker.on_pending("x", tokens, self.now, None)
        return self

    def request(
        self,
        *,
        tokens: int = 1000,
        blocks: Sequence[int] = (),
        hits: Sequence[int] = (),
        block_tokens: int = 0,
    ) -> Request:
        """A request, with the prompt tokens that each target is expected to have."""
        self._asked += 1
        ask = placement.PlacementAsk(
            generation_id=f"g-{self._asked}",
            model="m",
            input_tokens=tokens,
            prefix_hashes=blocks,
            block_tokens=block_tokens,
        )
        request = Request.of(ask, self.pool)
        request.hits = {index: hit for index, hit in enumerate(hits) if hit}
        return request

    def choice(self, request: Request | None = None, among: Sequence[int] | None = None) -> int:
        """The position of the chosen target."""
        targets = self.targets if among is None else [self.targets[index] for index in among]
        return self.strategy.choose(request or self.request(), targets, self.now, self.rng).position

    def place(self, index: int, request: Request) -> None:
        """The request goes there."""
        self.targets[index].worker.leases += 1
        self.strategy.on_placed(request, self.targets[index], self.now)

    def end(self, index: int, request: Request, seconds: float = 1.0, *, failed: bool = False) -> None:
        """The request ends there."""
        self.strategy.on_ended(request, self.targets[index], seconds, self.now, failed=failed)
        self.targets[index].worker.leases -= 1
