"""What the decision core tells of itself, to whoever counts and logs."""

from typing import Protocol

from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.router.faults import Kind
from services.router.leases import Generation
from services.router.retries import Stop
from services.router.target import Target


class Observer(Protocol):
    """Is told of every decision, at once, in the order they are made."""

    def placed(self, strategy: str, target: Target, kind: str = "") -> None:
        """An attempt was placed; `kind` says how it stands to its request's others, empty for the first."""

    def decided(self, model: str, generation_id: str, decision: routing.Decision) -> None:
        """That is why an attempt was placed where it was."""

    def refused(self, model: str, reason: str, generation_id: str, stop: Stop | None, trace_id: str = "") -> None:
        """A request was refused; `stop` says why no retry followed, where an attempt had failed."""

    def finished(self, generation: Generation, worker: str, kind: Kind) -> None:
        """A request has ended with an attempt at that worker, and no other was wanted."""

    def first_content(self, worker: str, seconds: float) -> None:
        """An attempt began to answer."""

    def ended(self, strategy: str, worker: str, kind: Kind) -> None:
        """An attempt ended that a strategy placed; empty where that is not known, as after a restart."""

    def shed(self, model: str, reason: str, criticality: int) -> None:
        """A request was refused for want of room or time."""

    def spilled(self, model: str, provider: str) -> None:
        """A request went to a fallback, since no primary route had room or would have begun in time."""

    def waited(self, model: str, seconds: float, *, placed: bool) -> None:
        """A request that had to wait for room has been placed, or refused."""

    def probed(self, worker: str, kind: Kind) -> None:
        """A small generation of the router's own ended."""

    def health(self, worker: str, health: fleet.WorkerHealth) -> None:
        """A worker's health is now this."""


class NullObserver:
    """Hears nothing."""

    def placed(self, strategy: str, target: Target, kind: str = "") -> None:
        """Nothing."""

    def decided(self, model: str, generation_id: str, decision: routing.Decision) -> None:
        """Nothing."""

    def refused(self, model: str, reason: str, generation_id: str, stop: Stop | None, trace_id: str = "") -> None:
        """Nothing."""

    def finished(self, generation: Generation, worker: str, kind: Kind) -> None:
        """Nothing."""

    def first_content(self, worker: str, seconds: float) -> None:
        """Nothing."""

    def ended(self, strategy: str, worker: str, kind: Kind) -> None:
        """Nothing."""

    def shed(self, model: str, reason: str, criticality: int) -> None:
        """Nothing."""

    def spilled(self, model: str, provider: str) -> None:
        """Nothing."""

    def waited(self, model: str, seconds: float, *, placed: bool) -> None:
        """Nothing."""

    def probed(self, worker: str, kind: Kind) -> None:
        """Nothing."""

    def health(self, worker: str, health: fleet.WorkerHealth) -> None:
        """Nothing."""
