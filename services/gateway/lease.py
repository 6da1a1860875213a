"""A lease as the gateway holds it, with all that another router has to know of it."""

import dataclasses

from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration


@dataclasses.dataclass(slots=True)
class Lease:
    """An attempt that has a place.

    Attributes:
        placed: where.
        ask: what was asked.
        since: when it was placed.
        tried: workers that have failed the request before.
        committed: whether content has reached the caller.
    """

    placed: placement.Placement
    ask: placement.PlacementAsk
    since: float
    tried: tuple[str, ...] = ()
    committed: bool = False

    @property
    def worker(self) -> str:
        """Who serves it."""
        return self.placed.worker

    def restated(self, now: float) -> placement.RunningLease:
        """The lease in the words of a new Place stream. A shadow stands for itself."""
        placed = self.placed
        shadow = placed.kind == placement.ATTEMPT_KIND_SHADOW
        return placement.RunningLease(
            attempt_id=placed.attempt_id,
            generation_id=placed.attempt_id if shadow else placed.generation_id,
            worker=placed.worker,
            model=self.ask.model,
            committed=self.committed,
            ask=None if shadow else self.ask,
            number=placed.number,
            tried=self.tried,
            age=to_duration(now - self.since),
        )
