"""A request from its arrival to its end, and its attempts, as its gateway knows them."""

from typing import Protocol

from google.rpc import status_pb2
from hybridinference.router.v1 import placement_pb2 as placement

from services.config.tariff import Tariff, micros
from services.router.simulator.traffic.request import Request

COMPLETED = "completed"
INTERRUPTED = "interrupted"
TIMED_OUT = "timed_out"


class Callers(Protocol):
    """Whoever waits for what becomes of attempts. Told when it reaches the gateway, after the network's delay."""

    def on_first_token(self, attempt: "Attempt") -> None:
        """The first token has come."""

    def on_end(self, attempt: "Attempt", status: status_pb2.Status) -> None:
        """It is over."""


class Call:
    """A request that has come.

    Attributes:
        callers: who is told of what becomes of its attempts.
        router: the position of its router.
        arrived_at: when it came.
        continuable: whether another worker could go on with its answer.
        attempts: all of them, in order.
        running: those that have not ended, by their ids.
        tokens: of the answer, that the caller has had from attempts that have ended.
        first_at: when the caller got the first token; negative before.
        ended_at: when it was over; negative before.
        outcome: `completed`, `interrupted` after the first token, `timed_out`, or why it was refused; empty before.
    """

    __slots__ = (
        "arrived_at",
        "attempts",
        "callers",
        "continuable",
        "ended_at",
        "first_at",
        "outcome",
        "request",
        "router",
        "running",
        "tokens",
    )

    def __init__(
        self, request: Request, router: int, now: float, callers: Callers, *, continuable: bool = False
    ) -> None:
        self.request = request
        self.callers = callers
        self.router = router
        self.arrived_at = now
        self.continuable = continuable
        self.attempts: list[Attempt] = []
        self.running: dict[str, Attempt] = {}
        self.tokens = 0
        self.first_at = -1.0
        self.ended_at = -1.0
        self.outcome = ""

    @property
    def identity(self) -> str:
        """What the router knows it by."""
        return str(self.request.identity)


class Attempt:
    """An attempt at a call, between the gateway that started it and the worker that runs it.

    Attributes:
        attempt_id: the lease's id.
        worker: the name of the worker that it goes to.
        kind: how it stands to those before it.
        input_tokens: of its prompt; one that goes on with an answer has to read that as well.
        output_tokens: that it is to bring.
        started_at: when the gateway begins it.
        first_at: when its first token reached the gateway; negative before.
        hit_tokens: of its prompt, found cached.
        brought: tokens that it has brought, once it has ended.
        billed: whether its tokens and its time cost what they cost.
        ended_at: when the gateway took nothing of it any more; negative before.
    """

    __slots__ = (
        "attempt_id",
        "billed",
        "brought",
        "call",
        "ended_at",
        "first_at",
        "hit_tokens",
        "input_tokens",
        "kind",
        "output_tokens",
        "started_at",
        "worker",
    )

    def __init__(self, call: Call, placed: placement.Placement, started_at: float) -> None:
        self.call = call
        self.attempt_id = placed.attempt_id
        self.worker = placed.worker
        self.kind = placed.kind
        self.input_tokens = call.request.input_tokens + call.tokens
        self.output_tokens = max(1, call.request.output_tokens - call.tokens)
        self.started_at = started_at
        self.first_at = -1.0
        self.hit_tokens = 0
        self.brought = 0
        self.billed = False
        self.ended_at = -1.0

    @property
    def ended(self) -> bool:
        """Whether the gateway takes nothing of it any more."""
        return self.ended_at >= 0

    def cost(self, tariff: Tariff) -> int:
        """What it has cost, in nano-USD."""
        if not self.billed:
            return 0
        time = micros(self.ended_at - self.started_at) if self.ended else 0
        return tariff.nano_usd(self.input_tokens, self.hit_tokens, self.brought, time)
