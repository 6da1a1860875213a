"""A request from its arrival to its end, as its gateway knows it."""

from services.router.simulator.attempt import Attempt
from services.router.simulator.traffic.request import Request

COMPLETED = "completed"
INTERRUPTED = "interrupted"
TIMED_OUT = "timed_out"


class Call:
    """A request from its arrival to its end.

    Attributes:
        arrived_at: when it came.
        router: the position of its router.
        attempts: all of them, in order.
        running: those that have not ended, by their ids.
        first_at: when the caller got the first token; negative before.
        ended_at: when it was over; negative before.
        outcome: `completed`, `interrupted` after the first token, `timed_out`, or the reason of a refusal.
    """

    __slots__ = ("arrived_at", "attempts", "ended_at", "first_at", "outcome", "request", "router", "running")

    def __init__(self, request: Request, router: int, now: float) -> None:
        self.request = request
        self.router = router
        self.arrived_at = now
        self.attempts: list[Attempt] = []
        self.running: dict[str, Attempt] = {}
        self.first_at = -1.0
        self.ended_at = -1.0
        self.outcome = ""
