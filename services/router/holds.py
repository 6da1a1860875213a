"""How long a worker, or one of its models, is left alone because it asked for that."""

from services.router.faults import Kind, Verdict

# Where it did not say how long; and the longest that is believed.
_SECONDS = 1.0
_MAX_SECONDS = 300.0


class Holds:
    """What one worker has asked for. A rate limit is of a model; all else is of the worker.

    Attributes:
        until: when the whole worker may be asked again.
        for_room: whether that is for want of room, not of health.
    """

    __slots__ = ("_lifted_by_room", "_models", "for_room", "until")

    def __init__(self) -> None:
        self._models: dict[str, float] = {}
        self.clear()

    def clear(self) -> None:
        """It is a new process."""
        self.until = 0.0
        self.for_room = False
        self._lifted_by_room = False
        self._models.clear()

    def of(self, model: str) -> float:
        """When that model may be asked for again."""
        return max(self.until, self._models.get(model, 0.0)) if self._models else self.until

    def limited(self, model: str, at: float) -> bool:
        """Whether it is want of room that keeps the model away: a limit that is used up, or a worker that is full."""
        return self._models.get(model, 0.0) > at or (self.for_room and self.until > at)

    def add(self, verdict: Verdict, now: float, model: str = "") -> None:
        """An attempt at the model ended so; "" where nobody knows at which."""
        if verdict.kind is Kind.HARD and verdict.retry_after is None:
            return
        until = now + (_SECONDS if verdict.retry_after is None else min(verdict.retry_after, _MAX_SECONDS))
        if verdict.kind is Kind.RATE and model:
            self._models[model] = max(until, self._models.get(model, 0.0))
        elif until > self.until:
            self.until = until
            # A worker that is away or failing is lack of health.
            self.for_room = verdict.kind is Kind.RATE or verdict.reason == "WORKER_SATURATED"
            # Only the worker knows when it has room again; a vendor's limit is not in its reports.
            self._lifted_by_room = verdict.kind is Kind.AWAY

    def on_room(self) -> bool:
        """The worker reports that it has room. Returns whether that changes anything."""
        lifted = self._lifted_by_room
        if lifted:
            self.until, self._lifted_by_room = 0.0, False
        return lifted
