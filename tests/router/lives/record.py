"""What the gateways of a life hold by their own reckoning, to be compared with what the router does."""

import collections
import dataclasses

from hybridinference.router.v1 import placement_pb2 as placement

from services.config.mesh import MeshConfig
from services.router.leases import GatewayStream

_WINDOW_SECONDS = 10


@dataclasses.dataclass(slots=True, eq=False)
class Asked:
    """A request that has not ended.

    Attributes:
        model: its model's own name, as far as there still is one.
        attempts: how many it has had.
        tries: those that went on with no answer of another one.
        tried: workers that it was placed on.
        full: those of them that had no room, which is no failure.
        known: whether the router has seen it from its beginning.
        waits: whether it was told that it is to wait.
        spent: what its attempts have cost that have ended, in nano-USD.
    """

    ask: placement.PlacementAsk
    stream: GatewayStream
    model: str
    ends_at: float
    attempts: int = 0
    tries: int = 0
    continued: int = 0
    hedges: int = 0
    committed: bool = False
    tried: set[str] = dataclasses.field(default_factory=set)
    full: set[str] = dataclasses.field(default_factory=set)
    known: bool = True
    waits: bool = False
    restated: bool = False
    spent: int = 0


@dataclasses.dataclass(slots=True, eq=False)
class Running:
    """An attempt that has not ended. `place` is its worker's name and address: at another one it is another worker."""

    placed: placement.Placement
    asked: Asked
    place: tuple[str, str]
    since: float
    committed: bool = False

    @property
    def shadow(self) -> bool:
        """Whether its answer is discarded."""
        return self.placed.kind == placement.ATTEMPT_KIND_SHADOW


class Ledger:
    """Requests, retries and hedges of each model, counted without any code of the router's."""

    def __init__(self) -> None:
        self._requests: dict[str, list[int]] = collections.defaultdict(list)
        self._retries: dict[str, list[int]] = collections.defaultdict(list)
        self._shares: dict[str, float] = collections.defaultdict(float)
        self._hedges: dict[str, int] = collections.defaultdict(int)

    def on_request(self, model: str, now: float, config: MeshConfig) -> None:
        """A first attempt was asked for."""
        self._requests[model].append(int(now))
        self._shares[model] += config.router.hedge.budget_ratio

    def on_retry(self, model: str, now: float, config: MeshConfig) -> None:
        """Another attempt follows one that failed: within the budget of the last ten seconds."""
        self._retries[model].append(int(now))
        oldest = int(now) - _WINDOW_SECONDS
        retries = sum(at > oldest for at in self._retries[model])
        requests = sum(at > oldest for at in self._requests[model])
        settings = config.router.retry
        allowed = max(settings.budget_ratio * requests, settings.budget_per_second * _WINDOW_SECONDS)
        assert retries <= allowed + 1e-9, f"{retries} retries of {requests} requests"

    def on_hedge(self, model: str) -> None:
        """An attempt was placed beside another: of all that were asked for, no larger share than was allowed."""
        self._hedges[model] += 1
        assert self._hedges[model] <= self._shares[model] + 1e-6, f"{self._hedges[model]} hedges"

    def keep(self, models: set[str]) -> None:
        """Only these models are there now."""
        gone = self._requests.keys() - models
        for counts in (self._requests, self._retries, self._shares, self._hedges):
            for name in gone & counts.keys():
                del counts[name]
